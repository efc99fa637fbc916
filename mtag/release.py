"""Which mtag this is."""


def version() -> str:
    """Version of the installed package."""
    from importlib import metadata

    try:
        return metadata.version("mtag")
    except metadata.PackageNotFoundError:
        return "unknown"  # run from a checkout that was not installed
