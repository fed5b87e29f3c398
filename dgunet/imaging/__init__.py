"""Pixel arrays: checks, colour conversion, PSNR, strips and ``.npy`` files."""
