"""From stamps to a sample grid."""
