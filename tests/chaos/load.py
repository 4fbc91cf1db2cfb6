"""Open-loop readers: each read is sent when it is due, whether or not earlier ones were answered, and its time is counted from then. A
reader that waits for its answer before it asks again would not notice that nothing is answered (coordinated omission).

Writes one line a read: when it was due (time.monotonic(), s), its kind, how long the answer took (ms), the error's code or nothing.
Usage: load.py PORT SECONDS OUT KIND=RATE:CONNECTIONS:KEYS:PREFIX ...
"""
import collections
import random
import selectors
import socket
import sys
import time

ANSWERS_WITHIN_S = 8  # longer than any hard_timeout of the suite


class Connection:
    """One socket; answers come in the order of the questions."""

    def __init__(self, port, kind):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.kind, self.asked, self.rest = kind, collections.deque(), b""

    def ask(self, key, due):
        command = b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key)
        self.socket.sendall(command)  # some bytes into an empty buffer
        self.asked.append(due)

    def answers(self):
        """The error code, or nothing, of each answer that has come."""
        try:
            self.rest += self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        at = 0
        while True:
            end = self.rest.find(b"\r\n", at)
            if end < 0:
                break
            line = self.rest[at:end]
            at_next = end + 2
            if line[:1] == b"$" and line != b"$-1":
                at_next += int(line[1:]) + 2
                if len(self.rest) < at_next:
                    break
            at = at_next
            yield line[1:].split(b" ")[0].decode() if line[:1] == b"-" else ""
        self.rest = self.rest[at:]


class Kind:
    def __init__(self, text, port):
        self.name, _, rest = text.partition("=")
        rate, connections, keys, self.prefix = rest.split(":")
        self.pause, self.keys, self.turn = 1 / float(rate), int(keys), 0
        self.connections = [Connection(port, self.name) for _ in range(int(connections))]

    def ask(self, due, draw):
        self.turn = (self.turn + 1) % len(self.connections)
        self.connections[self.turn].ask(f"{self.prefix}:{draw.randrange(self.keys)}".encode(), due)


def main():
    port, seconds, out = int(sys.argv[1]), float(sys.argv[2]), open(sys.argv[3], "w", buffering=1 << 20)
    kinds = [Kind(text, port) for text in sys.argv[4:]]
    draw, waiting = random.Random(5), selectors.DefaultSelector()
    for kind in kinds:
        for connection in kind.connections:
            waiting.register(connection.socket, selectors.EVENT_READ, connection)
    begin = time.monotonic()
    due = {kind: begin + i * 0.0001 for i, kind in enumerate(kinds)}
    while True:
        now = time.monotonic()
        asks = now < begin + seconds
        left = any(c.asked for kind in kinds for c in kind.connections) if not asks else True
        if not left or now > begin + seconds + ANSWERS_WITHIN_S:
            break
        for kind in kinds:
            while asks and due[kind] <= now:
                kind.ask(due[kind], draw)
                due[kind] += kind.pause
        pause = max(0.0, min(due.values()) - time.monotonic()) if asks else 0.05
        for key, _ in waiting.select(pause):
            now = time.monotonic()
            for error in key.data.answers():
                asked = key.data.asked.popleft()
                out.write(f"{asked:.6f} {key.data.kind} {(now - asked) * 1000:.3f} {error}\n")
    for kind in kinds:
        for connection in kind.connections:
            for asked in connection.asked:
                out.write(f"{asked:.6f} {connection.kind} {ANSWERS_WITHIN_S * 1000} NOANSWER\n")
    out.close()


if __name__ == "__main__":
    main()
