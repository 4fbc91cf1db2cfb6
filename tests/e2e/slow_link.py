"""A TCP proxy on which everything takes a while longer, each way; how long can change while it is in use."""
import queue
import socket
import threading
import time


class SlowLink:
    def __init__(self, target_port, delay):
        self.target_port, self.delay, self.open = target_port, delay, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                here, _ = self.listener.accept()
            except OSError:  # the test is over
                return
            try:
                there = socket.create_connection(("127.0.0.1", self.target_port))
            except OSError:  # as the target would: nobody is there
                here.close()
                continue
            for end in (here, there):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # the link's delay is the only one
            self.open += [here, there]
            for a, b in ((here, there), (there, here)):
                waiting = queue.Queue()
                threading.Thread(target=self.take, args=(a, waiting), daemon=True).start()
                threading.Thread(target=self.give, args=(b, waiting), daemon=True).start()

    def take(self, source, waiting):
        data = b"."
        while data:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            waiting.put((time.monotonic() + self.delay, data))

    @staticmethod
    def give(target, waiting):
        while True:
            due, data = waiting.get()
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if not data:
                    return target.shutdown(socket.SHUT_WR)
                target.sendall(data)
            except OSError:
                return

    def close(self):
        self.listener.close()
        for one in self.open:
            one.close()
