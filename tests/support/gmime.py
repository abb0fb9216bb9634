"""GMime as a reader of mail, by ctypes: the library that some mail programs show messages with."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator
from functools import cache
from typing import Any


class ByteArray(ctypes.Structure):
    _fields_ = [("data", ctypes.POINTER(ctypes.c_char)), ("size", ctypes.c_uint)]


@cache
def library() -> Any:
    """GMime, with what it is built on."""
    gmime = ctypes.CDLL("libgmime-3.0.so.0")
    for name, kinds in {
        "g_mime_stream_mem_new_with_buffer": [ctypes.c_char_p, ctypes.c_size_t],
        "g_mime_stream_mem_new": [],
        "g_mime_parser_new_with_stream": [ctypes.c_void_p],
        "g_mime_parser_construct_message": [ctypes.c_void_p, ctypes.c_void_p],
        "g_mime_part_iter_new": [ctypes.c_void_p],
        "g_mime_part_iter_get_current": [ctypes.c_void_p],
        "g_mime_part_get_content": [ctypes.c_void_p],
    }.items():
        function = getattr(gmime, name)
        function.restype, function.argtypes = ctypes.c_void_p, kinds
    gmime.g_mime_stream_mem_get_byte_array.restype = ctypes.POINTER(ByteArray)
    gmime.g_mime_stream_mem_get_byte_array.argtypes = [ctypes.c_void_p]
    gmime.g_mime_part_get_type.restype = ctypes.c_size_t
    for name in ("g_mime_part_iter_next", "g_mime_part_iter_free"):
        getattr(gmime, name).argtypes = [ctypes.c_void_p]
    gmime.g_mime_data_wrapper_write_to_stream.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    gmime.g_mime_init()
    return gmime


@cache
def objects() -> Any:
    gobject = ctypes.CDLL("libgobject-2.0.so.0")
    gobject.g_object_unref.argtypes = [ctypes.c_void_p]
    gobject.g_type_check_instance_is_a.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return gobject


def shows(data: bytes) -> list[bytes]:
    """The content of every part that is no multipart, decoded."""
    gmime = library()
    stream = gmime.g_mime_stream_mem_new_with_buffer(data, len(data))
    parser = gmime.g_mime_parser_new_with_stream(stream)
    message = gmime.g_mime_parser_construct_message(parser, None)
    try:
        return list(_contents(gmime, message)) if message else []
    finally:
        for one in (message, parser, stream):
            if one:
                objects().g_object_unref(one)


def _contents(gmime: Any, message: int) -> Iterator[bytes]:
    kind = gmime.g_mime_part_get_type()
    parts = gmime.g_mime_part_iter_new(message)
    try:
        while True:
            part = gmime.g_mime_part_iter_get_current(parts)
            if part and objects().g_type_check_instance_is_a(part, kind):
                yield _content(gmime, part)
            if not gmime.g_mime_part_iter_next(parts):
                return
    finally:
        gmime.g_mime_part_iter_free(parts)


def _content(gmime: Any, part: int) -> bytes:
    content = gmime.g_mime_part_get_content(part)
    if not content:
        return b""
    out = gmime.g_mime_stream_mem_new()
    try:
        gmime.g_mime_data_wrapper_write_to_stream(content, out)
        array = gmime.g_mime_stream_mem_get_byte_array(out).contents
        return ctypes.string_at(array.data, array.size) if array.size else b""
    finally:
        objects().g_object_unref(out)
