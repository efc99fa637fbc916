"""One edit of one file: which bytes change, and whether the edited copy may take the file's place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from mtag.copying import Patch
from mtag.errors import FailureKind, FileError
from mtag.field import Field
from mtag.tagfile.containers import opened, parsed, read
from mtag.tagfile.fields import VALUED, Fields, Style, agree, own_lines
from mtag.tagfile.items import Container, Items, Room
from mtag.tagfile.origin import fields_of
from mtag.tagfile.snapshot import Snapshot, take
from mtag.tagfile.witness import Testimony, hear

Digest = Callable[[Path], str]  # identifies the audio in a file, whatever its tag
# Gives the items that a file is to have, None for no tag at all, and what they are to take up, as `Container.rewrite`.
Change = Callable[[Container], "tuple[Items | None, Room]"]
Announce = Callable[[Snapshot, Snapshot], None]  # is told what a file said, and what it is going to say


class Edit:
    """Gives a file's tag other items.

    Parameters
    ----------
    path
        The file.
    change
        Gives the new items, and the room they are to have.
    digest
        Identifies the audio.
    fields
        How the copy has to read, for mtag and for mutagen; None when anything goes that was there before.
    style
        How the values of those are spelt.
    announce
        Called once the copy has been found good, right before it takes the file's place; raises to prevent that.
    """

    def __init__(
        self,
        path: Path,
        change: Change,
        digest: Digest,
        fields: Fields | None = None,
        style: Style | None = None,
        announce: Announce | None = None,
    ) -> None:
        """Keep the parts; nothing is read yet."""
        self.path = path
        self.change = change
        self.digest = digest
        self.fields = fields
        self.style = style or Style()
        self.announce = announce

    def patches(self, file: BinaryIO) -> list[Patch]:
        """Say which bytes of the open file are to change; none when its items are as they should be."""
        self.old = read(self.path, file)
        with parsed(self.path):
            self.items, room = self.change(self.old)
            self.before = fields_of(self.old)
            return [] if self.items == self.old.items else self.old.rewrite(self.items, room)

    def check(self, copy: Path) -> None:
        """Raise FileError unless the copy differs from the file in what was to change, and in nothing else."""
        try:
            with opened(copy) as new:
                self._check_items(new)
                if self.digest(copy) != self.digest(self.path):
                    raise self._refusal("its audio would not have stayed the same")
                self._check_testimony(hear(self.path, self.old), hear(copy, new))
                after = take(new, new.items)
        except FileError as error:
            raise FileError(self.path, error.kind, error.reason) from error
        if self.announce:
            self.announce(take(self.old, self.old.items), after)

    def _check_items(self, new: Container) -> None:
        same_kind = new.name == self.old.name and new.dialect.spelling == self.old.dialect.spelling
        if new.items != self.items or not (same_kind or self.items is None):
            raise self._refusal("its tag would not have stayed whole")
        if self.fields is not None and not agree(fields_of(new), self.fields, self.style):
            raise self._refusal("its tag cannot hold these words")

    def _check_testimony(self, before: Testimony, after: Testimony) -> None:
        old, new = Counter(before.rest), Counter(after.rest)
        removed, added = old - new, new - old
        if (removed and self.items is not None) or (added and self.old.items is not None):
            raise self._refusal("another program would have read other fields differently")
        if self.fields is not None and not self._is_confirmed(self.fields, before, after):
            raise self._refusal("another program would not have read the new words, or others differently")

    def _is_confirmed(self, fields: Fields, before: Testimony, after: Testimony) -> bool:
        """Whether mutagen reads what was to be written, and the other fields as before."""
        for field in VALUED:
            names, had = fields.of(field), self.before.of(field)
            if names != self.before.untouched.of(field):
                confirmed = after.confirms(field, names, self.style)
            else:
                comes_or_goes = self.old.items is None or self.items is None  # a tag brings along what others show
                confirmed = names != had or comes_or_goes or after.told[field] == before.told[field]
            if not confirmed:
                return False
        return after.confirms(Field.COMMENT, own_lines(fields), Style())

    def _refusal(self, reason: str) -> FileError:
        return FileError(self.path, FailureKind.TAG_PARSE, f"was left as it is: {reason}")
