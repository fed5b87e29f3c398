"""Arrays of pixels: checks, colour conversion, PSNR, strips; used by data and evaluation."""
