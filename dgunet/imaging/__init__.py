"""Arrays of pixels: checks, colour conversion and PSNR, below both data and evaluation."""
