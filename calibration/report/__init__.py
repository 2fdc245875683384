"""What a fit found, as text and as an HTML file."""
