"""Settings of kavscanner: what the configuration file can say, as one frozen value with the product's defaults.

The command line starts from this value and replaces fields; nothing below ``cli`` ever sees it. It is a named tuple
because every start pays for making the class, and a dataclass takes four times as long. Annotations are not postponed
here: as texts, typing would compile each of them at every start.
"""

from typing import TYPE_CHECKING, NamedTuple

from kavfs.limits import Limits
from kavfs.model import Switch
from kavfs.options import EVERYTHING
from kavfs.temporary import USUAL

if TYPE_CHECKING:
    from kavfs.config.ini import Entry


class Settings(NamedTuple):
    """One field per key of the sections [path], [locale], [scanner.*] and [quarantine]."""

    databases: bytes = b""  # folder or image; b"" = the places that kavfs.signatures knows
    temp: bytes = USUAL
    date_format: str = "%d-%m-%Y"
    time_format: str = "%H:%M:%S"
    exclude_dirs: tuple[bytes, ...] = ()
    exclude_masks: tuple[bytes, ...] = ()
    switches: Switch = EVERYTHING
    engines: tuple[str, ...] = ("native",)
    clamav_databases: bytes = b""  # folder for libclamav; b"" = the usual place
    clamd: str = ""  # path of a socket, or HOST:PORT; "" = the usual places
    yara_rules: bytes = b""  # file or folder; b"" = the usual places
    recursion: bool = True
    local_fs: bool = False
    follow_symlinks: bool = False
    cache: bool = True  # look up and remember anything at all
    ichecker: bool = True  # whole files
    cache_size: int = 2 << 30  # bytes of what is remembered of files
    object_cache_size: int = 64 << 20  # bytes on disk; 0 = no object cache
    remember_digests: bool = False
    distrust_owners: bool = False
    polite: bool = False
    max_load: float = 0.0  # load average above which nothing is begun; 0 = any
    page_cache_as_found: bool = True
    max_file_size: int = Limits.max_file_size  # these are fields of Limits
    max_member_size: int = Limits.max_member_size
    max_unpacked: int = Limits.max_unpacked
    max_depth: int = Limits.max_depth
    max_members: int = Limits.max_members
    time_base: float = Limits.time_base
    time_rate: int = Limits.time_rate
    memory: int = Limits.memory
    spill: int = Limits.spill
    report_file: bytes = b""  # b"" = no report; b"syslog" = to syslog
    report_level: int = 4
    report_append: bool = True
    report_mode: int = 0o600  # of a report file that is made
    report_ok: bool = True
    report_objects_only: bool = False
    report_containers_only: bool = False
    report_html: bytes = b""  # b"" = none
    event_store: bytes | None = b""  # b"" = the usual place; None = none is kept
    event_retention: float = 365 * 86400.0  # seconds; 0 = for ever
    display_ok: bool = True
    display_progress: bool = True
    display_objects_only: bool = False
    display_containers_only: bool = False
    cure: bool = False
    keep_container: bool = False  # a container of which a member cannot be cured stays
    action_time: float = 60.0  # seconds for one command of exec
    actions: "tuple[Entry, ...]" = ()  # On... of [scanner.object] and [scanner.container], as they stand in the file
    backup_path: bytes | None = b""  # b"" = beside what is in quarantine; None = no copy is made
    quarantine_path: bytes = b""  # b"" = the usual place
    quarantine_max_age: float = 0.0  # seconds; 0 = for ever
    quarantine_max_size: int = 0  # bytes; 0 = any
    rescan_after_update: bool = False
    restore_clean: bool = False
    notify_mail: tuple[str, ...] = ()
    notify_command: "Entry | None" = None
    notify_on: tuple[str, ...] = ("infected", "suspicion", "warning", "cured", "curefailed", "error")  # or ("always",)
    notify_subject: str = ""  # "" = our own
    notify_from: str = ""  # "" = whoever runs the scan
    notify_sendmail: bytes = b"/usr/sbin/sendmail"

    @property
    def limits(self) -> Limits:
        """Of one object."""
        return Limits(
            self.max_file_size,
            self.max_member_size,
            self.max_unpacked,
            self.max_depth,
            self.max_members,
            self.time_base,
            self.time_rate,
            self.memory,
            self.spill,
        )
