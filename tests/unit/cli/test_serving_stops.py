"""A server that does not serve yet ends when it is asked to, also as the first process of a container."""

from __future__ import annotations

import argparse
import signal

import pytest

from everbrook.cli import serving


def test_a_signal_during_the_start_ends_it_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what it is to the first process
        monkeypatch.setattr(serving, "loaded_settings", lambda *_: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(SystemExit) as left:
            serving.run(argparse.Namespace(host=None, port=None))
        assert left.value.code == 128 + signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)
