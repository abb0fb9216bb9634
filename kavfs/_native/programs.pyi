"""What the C core reads out of executables (ext/exe states the contract)."""

from _typeshed import ReadableBuffer as Buffer

class Section:
    name: bytes  # without the zeros that fill it up
    raw: int
    raw_size: int
    rva: int
    virtual_size: int
    flags: int

class Program:
    kind: str  # pe, elf, macho
    wide: bool
    entry: int
    overlay: int
    header_size: int
    sections: list[Section]
    versions: list[int]  # offsets of version information strings

def read_program(data: Buffer) -> Program | None:
    """A PE, ELF or thin Mach-O file as signatures see it; None for what is none, or too broken for any offset to count
    from. Raises MemoryError."""
