"""Counts visits in a Redis, by its protocol (RESP), without a library."""

import os
import socket


class Visits:
    def __init__(self, host=None, port=6379):
        self.connection = socket.create_connection((host or os.environ["REDIS_HOST"], port))
        self.answers = self.connection.makefile("rb")

    def command(self, *words):
        text = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        self.connection.sendall(text.encode())
        answer = self.answers.readline().strip().decode()
        if answer.startswith("-"):
            raise RuntimeError(answer[1:])
        return answer[1:]

    def visit(self, page):
        return int(self.command("INCR", f"visits:{page}"))
