"""The fields of a music file that mtag may write, by the names that people and programs use for them."""

from enum import Enum


class Field(str, Enum):
    """One logical field; each container has its own key for it. The values stand in the configuration and in JSON."""

    GENRE = "genre"
    COMMENT = "comment"
    MOOD = "mood"
    GROUPING = "grouping"
    PROVENANCE = "mtag"  # says which mtag wrote the others, and what
