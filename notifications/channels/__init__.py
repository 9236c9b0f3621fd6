"""One module for each channel type. It contains only what is specific to the provider."""
