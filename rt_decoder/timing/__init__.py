"""Place samples and markers on one sample grid."""
