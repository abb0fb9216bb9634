"""The coordinator's loop over walkers and workers (ext/dispatch)."""

DONE: int
WANT: int
WAKE: int
EVENT: int
SIGNAL: int

EV_RESULT: int
EV_ENTRY: int
EV_LOST: int
EV_WALKED: int
EV_STALLED: int
EV_KNOWN: int
EV_LISTED: int

Event = tuple[int, int, bytes, bytes, bytes]  # kind, number, path, data, text
Counts = tuple[int, int, int, int, int, int, int, int, int, list[int], list[int], list[int]]

def format_name(number: int) -> str: ...
def start_closer(socket_fd: int) -> int: ...  # a process ID
def in_memory(fd: int) -> bool: ...
def mount_of(fd: int) -> int: ...  # by its number in /proc/self/mountinfo; 0: not told

class Dispatcher:
    def __init__(
        self,
        *,
        max_unpacked: int,
        time_base_ms: int,
        time_rate: int,
        grace_ms: int,
        stall_ms: int,
        fd_budget: int,
        classes: dict[int, tuple[int, int, int]],  # engine -> when, most workers, start_ms
        want_clean: bool,
        all_match: bool = False,
        one_by_one: bool = False,  # somebody waits for each object: no batches
        hand_back: bool = False,  # what was submitted is not closed, see spent()
    ) -> None: ...
    def close(self) -> list[int]: ...  # as spent()
    def spent(self) -> list[int]: ...  # descriptors of objects that have their verdict; the caller's
    def set_stores(
        self,
        *,
        folder: int,
        journal: str,
        files: bool,
        secret: bytes,
        objects_secret: bytes,
        generation: bytes,
        delta: bytes,
        size_limit: int,
        start_ns: int,
        objects_memory: int,
        objects_file: int,
    ) -> None: ...
    def finish(self) -> None: ...
    def add_walker(self, id: int, socket_fd: int, slot_fd: int) -> None: ...
    def add_worker(self, id: int, socket_fd: int, slot_fd: int, engine: int = 0) -> None: ...
    def submit(self, fd: int, path: bytes, tag: int, delta: int = 0) -> None: ...
    def abort(self, tag: int, text: bytes) -> bool: ...  # whether it had no verdict yet
    def held_ms(self, tag: int) -> int: ...
    def retire(self, id: int, text: bytes, outside: bool) -> bool: ...  # whether it had been ready
    def give_up(self, engine: int, text: bytes) -> None: ...  # there will be no worker of this class
    def forget(self) -> None: ...
    def set_workers(self, workers_max: int, engine: int = 0) -> None: ...
    def set_want_clean(self, want_clean: bool) -> None: ...
    def set_held(self, held: bool) -> None: ...  # nothing new is begun, what workers have is finished
    def step(self, wake_fd: int, timeout_ms: int) -> int: ...
    def turn(self) -> int: ...  # a step that waits for nothing
    def fileno(self) -> int: ...  # readable when a worker has something to say
    def events(self) -> list[Event]: ...
    def totals(self) -> Counts: ...
    @property
    def outstanding(self) -> int: ...
    @property
    def in_hand(self) -> int: ...  # of these, with workers
    def workers(self, engine: int = 0) -> int: ...  # live ones
    def ready(self, engine: int = 0) -> int: ...  # of these, that have greeted
    @property
    def wanted(self) -> int: ...  # a bit for each engine that could use another worker
    @property
    def walked(self) -> tuple[int, int]: ...  # directory entries, directories
