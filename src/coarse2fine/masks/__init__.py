"""Pure functions on mask arrays, and masks as PNG files and run lengths."""
