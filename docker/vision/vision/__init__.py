"""The vision container: decode images, classify them, train and measure models. Files in, files out."""
