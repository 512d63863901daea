"""A process that dies at an event of the file system, without leaving the process."""

import contextlib
import os
import pathlib


class Killed(BaseException):
    """Stands for SIGKILL."""


class Killer(contextlib.ExitStack):
    """Within it the process "dies" at the event of a number, counted from 0."""

    def __init__(self, monkeypatch, moment):
        super().__init__()
        self._patch, self._moment = monkeypatch, moment
        self.events, self.died = 0, False
        for owner, name in ((os, "fsync"), (os, "replace"), (os, "open")):
            monkeypatch.setattr(owner, name, self._watched(getattr(owner, name)))
        unlink = pathlib.Path.unlink

        def after_death(path, missing_ok=False):
            if not self.died:
                unlink(path, missing_ok=missing_ok)

        monkeypatch.setattr(pathlib.Path, "unlink", after_death)

    def _watched(self, function):
        def call(*arguments, **more):
            if self.died or self.events == self._moment:
                self.died = True
                raise Killed
            self.events += 1
            return function(*arguments, **more)

        return call
