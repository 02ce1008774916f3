#!/usr/bin/python3
"""A real SMTP server (aiosmtpd) that does what a test wants.

usage: smtp_server.py DIRECTORY [--port PORT] [--tls CERTIFICATE KEY] [--smtps] [--auth USER PASSWORD]
                      [--answer STAGE ANSWER [TIMES]]...

Prints its port and ends when its standard input does. Each message that it accepts becomes a file
N.json in DIRECTORY, complete before the client hears of it: envelope, the bytes, what a receiver reads
in them (parse_mail.py), and whether it came encrypted and by whom. Each connection adds a byte to the
file `connections`. STAGE is MAIL, RCPT, DATA or QUIT; ANSWER is a reply such as "550 no", or "hang", or
"drop" (the line is cut), given the first TIMES times, or always.
"""

import argparse
import asyncio
import json
import logging
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword, TLSSetupException

from parse_mail import parse


class Handler:
    def __init__(self, options):
        self.directory = options.directory
        self.count = 0
        self.answers = {}
        for stage, answer, *times in options.answer:
            self.answers.setdefault(stage, []).append([answer, int(times[0]) if times else None])

    async def arranged(self, server, stage):
        for entry in self.answers.get(stage, []):
            answer, left = entry
            if left == 0:
                continue
            if left is not None:
                entry[1] -= 1
            if answer == "hang":
                await asyncio.sleep(3600)
            if answer == "drop":
                server.transport.close()
            return answer
        return None

    async def handle_MAIL(self, server, session, envelope, address, options):
        answer = await self.arranged(server, "MAIL")
        if answer:
            return answer
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = await self.arranged(server, "RCPT")
        if answer:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        answer = await self.arranged(server, "DATA")
        if answer:
            return answer
        login = session.auth_data
        record = {
            "sender": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "raw": envelope.original_content.decode("latin-1"),
            "tls": session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None,
            "user": login.login.decode() if isinstance(login, LoginPassword) else None,
            **parse(envelope.original_content),
        }
        path = os.path.join(self.directory, str(self.count))
        with open(path + ".new", "w") as file:
            json.dump(record, file)
        os.rename(path + ".new", path + ".json")
        self.count += 1
        return "250 OK"

    async def handle_QUIT(self, server, session, envelope):
        return await self.arranged(server, "QUIT") or "221 Bye"


async def serve(options):
    handler = Handler(options)
    context = None
    if options.tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*options.tls)

    def authenticate(server, session, envelope, mechanism, data):
        good = isinstance(data, LoginPassword) and [data.login.decode(), data.password.decode()] == options.auth
        return AuthResult(success=good, handled=False, auth_data=data)

    def connect():
        with open(os.path.join(options.directory, "connections"), "a") as file:
            file.write(".")
        return SMTP(
            handler,
            hostname="mail.test",
            enable_SMTPUTF8=True,
            tls_context=None if options.smtps else context,
            require_starttls=context is not None and not options.smtps,
            auth_required=options.auth is not None,
            auth_require_tls=context is not None and not options.smtps,
            authenticator=authenticate,
        )

    server = await asyncio.get_running_loop().create_server(
        connect, "127.0.0.1", options.port, ssl=context if options.smtps else None
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", nargs=2)
    parser.add_argument("--smtps", action="store_true")
    parser.add_argument("--auth", nargs=2)
    parser.add_argument("--answer", nargs="+", action="append", default=[])
    log = logging.getLogger("mail.log")
    log.setLevel(logging.ERROR)
    # Clients that do not trust it are part of the tests.
    log.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], TLSSetupException)))
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
