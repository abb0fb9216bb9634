"""Signatures: readers of the database formats, the compiler to segments and images, listing."""
