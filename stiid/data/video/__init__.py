"""Clips cut from video files and from folders of images."""
