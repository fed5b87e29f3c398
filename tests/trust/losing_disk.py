"""A simulated disk that loses unflushed data in a power failure.

`LosingDisk` watches one folder while code runs. At every step that changes names or flushes (before
and after it), it works out what a power failure at that moment could leave, in the two worst ways a
file system has:

- ``kept``: only what was flushed: a folder shows the names it had when it was last flushed;
- ``early``: names reach the disk before content: a folder shows its present names, but a file
  holds only what was last flushed of it.

A file that was never flushed is empty in both.
"""

import os
import stat
from contextlib import contextmanager
from pathlib import Path

STEPS = ("rename", "replace", "unlink", "rmdir", "mkdir", "fsync")


class LosingDisk:
    """Watches ``top``; ``check(view, returned)`` is called for every possible failure."""

    def __init__(self, top, monkeypatch, check):
        self.top, self.check = top, check
        self._files = {}  # inode -> flushed content
        self._names = {}  # inode of a folder -> flushed {name: inode}
        self._held = []  # keeps inodes from being used again
        self._patch = monkeypatch
        self.points = 0
        self._busy = False

    def flush_all(self):
        """Mark the present content as flushed."""
        for here, _, names in os.walk(self.top):
            self._flushed(Path(here))
            for name in names:
                self._flushed(Path(here, name))

    def _hold(self, path):
        self._held.append(os.open(path, os.O_RDONLY))

    def _flushed(self, path):
        status = path.stat()
        self._hold(path)
        if stat.S_ISDIR(status.st_mode):
            self._names[status.st_ino] = self._listing(path)
        else:
            self._files[status.st_ino] = path.read_bytes()

    @staticmethod
    def _listing(path):
        return {
            entry.name: (entry.inode(), entry.is_dir(follow_symlinks=False))
            for entry in os.scandir(path)
        }

    def _kept(self, inode):
        found = {}
        for name, (child, folder) in self._names.get(inode, {}).items():
            found[name] = self._kept(child) if folder else self._files.get(child, b"")
        return found

    def _early(self, path):
        found = {}
        for name, (child, folder) in self._listing(path).items():
            inner = path / name
            found[name] = self._early(inner) if folder else self._files.get(child, b"")
        return found

    def fail(self, returned=False):
        """Simulate a power failure now: check both possible contents of the disk."""
        self.points += 1
        for view in (self._kept(self.top.stat().st_ino), self._early(self.top)):
            self.check(view, returned)

    def _inside(self, path):
        return path.is_relative_to(self.top)

    def _step(self, name):
        real = getattr(os, name)

        def stepped(*arguments, **options):
            if self._busy:
                return real(*arguments, **options)
            self._busy = True
            try:
                flushed = None
                if name == "fsync":
                    flushed = Path(f"/proc/self/fd/{arguments[0]}").readlink()
                    if not self._inside(flushed):
                        return real(*arguments, **options)
                self.fail()
                done = real(*arguments, **options)
                if flushed is not None:
                    self._flushed(flushed)
                self.fail()
                return done
            finally:
                self._busy = False

        return stepped

    @contextmanager
    def watching(self):
        """Simulate a power failure at every step of the block and at its end."""
        with self._patch.context() as patch:
            for name in STEPS:
                patch.setattr(os, name, self._step(name))
            yield self
        self.fail(returned=True)
        for handle in self._held:
            os.close(handle)


def at(view, *names):
    """Return the file content or folder at a path of ``view``; None if it does not exist."""
    for name in names:
        if not isinstance(view, dict) or name not in view:
            return None
        view = view[name]
    return view
