"""The tests. mtag comes first, so that none imports onnxruntime before its telemetry is off."""

import mtag  # noqa: F401
