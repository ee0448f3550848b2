"""asyncio's event loop for a program with one thread and no signals: it needs nothing of the host but a clock.

Python's own makes a pair of sockets, to be woken by other threads. There are none here, and a script without a grant for sockets may
make none. Sockets that are granted are waited for as ever.
"""

import asyncio
import asyncio.selector_events
import selectors
import time


class Selector(selectors.PollSelector):
    def select(self, timeout=None):
        if self.get_map():
            return super().select(timeout)
        if timeout is None:
            raise RuntimeError("every task waits for another: nothing would ever wake them")
        if timeout > 0:
            time.sleep(timeout)
        return []


class Loop(asyncio.selector_events.BaseSelectorEventLoop):
    def __init__(self, selector=None):
        super().__init__(selector or Selector())

    def _make_self_pipe(self):
        self._internal_fds = 0

    def _close_self_pipe(self):
        pass

    def _write_to_self(self):
        pass

    def add_signal_handler(self, *_):
        raise NotImplementedError("there are no signals")

    def remove_signal_handler(self, *_):
        return False


class Policy(asyncio.events._BaseDefaultEventLoopPolicy):
    _loop_factory = Loop


def install():
    asyncio.SelectorEventLoop = asyncio.EventLoop = Loop
    asyncio.events._set_event_loop_policy(Policy())
