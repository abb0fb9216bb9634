"""Acting: puts together what a scan needs that does something about what it finds. Imported only by such a scan."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from kavfs.action.acting import Acting, Means
from kavfs.action.place import Places
from kavfs.action.policy import Policy, make_policy
from kavfs.cli.request import Request
from kavfs.options import ScanOptions
from kavfs.ports import Report
from kavfs.record import replace
from kavfs.report.names import shown_path
from kavfs.scan.curing import Curing
from kavfs.scan.verifier import Verifier
from kavfs.signatures.image import Image


def policy_of(request: Request) -> Policy:
    """What options and configuration ask for; ConfigError with file and line when that makes no sense."""
    settings = request.settings
    return make_policy(settings.actions, request.action, settings.cure, settings.keep_container)


@contextmanager
def acting(request: Request, state: bytes, report: Report, image: Image, options: ScanOptions) -> Iterator[Report]:
    """*report* with somebody before it who acts upon results, until the scan is over."""
    policy = policy_of(request)
    if request.report_only or not policy.acts:
        yield report
        return
    settings = request.settings
    with ExitStack() as stack:
        rescan = stack.enter_context(Verifier(image, options, report.note, image.allow.judge))
        means = Means(
            request.quarantine(state),
            request.backups(state),
            temp=settings.temp,
            seconds=settings.action_time,
            generation=image.generation,
            curer=stack.enter_context(Curing(options, rescan, image.recipes)),
            rescan=rescan,
            shown=shown_path,
            quarantine_size=settings.quarantine_max_size,
        )
        places = Places(options.walk.roots, follow=options.walk.follow_symlinks)
        made = Acting(report, policy, places, means)
        stack.callback(made.close)
        yield made


def with_folders_left_out(request: Request, options: ScanOptions) -> ScanOptions:
    """*options* that leave out the folders that actions move files to: those that are there already as stores of ours,
    the others by their paths."""
    stores: list[tuple[int, int]] = []
    paths: list[bytes] = []
    for folder in policy_of(request).folders:
        try:
            status = os.stat(folder)
            stores.append((status.st_dev, status.st_ino))
        except OSError:
            paths.append(folder)
    walk = options.walk
    return replace(
        options,
        walk=replace(walk, stores=(*walk.stores, *stores), exclude_dirs=(*walk.exclude_dirs, *paths)),
    )
