"""Videos from files, folders of images and arrays, and clips cut from them."""
