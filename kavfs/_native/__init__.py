"""Native modules: built from ext/, each with a .pyi that is its contract for Python."""
