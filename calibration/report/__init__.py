"""Report the results of a fit, as text and as an HTML file."""
