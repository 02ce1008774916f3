#!/usr/bin/python3
"""What a receiver reads in a message. usage: parse_mail.py FILE...; prints a JSON list."""

import email
import email.header
import email.policy
import email.utils
import json
import re
import sys


def decoded(value):
    unfolded = re.sub(r"\r?\n(?=[ \t])", "", value)
    return str(email.header.make_header(email.header.decode_header(unfolded))).strip()


def mailbox(value):
    """The name and the address, strictly: encoded words count only outside of quotes."""
    unfolded = re.sub(r"\r?\n(?=[ \t])", "", value).strip()
    quoted = r'"(?:[^"\\]|\\.)*"'
    match = re.fullmatch(rf'((?:{quoted}|[^"<>])*)<([^<>]*)>', unfolded, re.DOTALL)
    if match is None:
        return ["", unfolded]
    name, address = match[1].strip(), match[2]
    if '"' not in name:
        return [decoded(name), address]
    # A long name is folded between words, some of which have quotes of their own.
    words = re.findall(rf"{quoted}|[^\s\"]+", name, re.DOTALL)
    plain = [re.sub(r"\\(.)", r"\1", w[1:-1]) if w[0] == '"' else decoded(w) for w in words]
    return [" ".join(plain), address]


def parse(raw):
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    return {
        "headers": [[name, value] for name, value in message.items()],
        "subject": decoded(message["Subject"]),
        "from": mailbox(message["From"]),
        "to": mailbox(message["To"]),
        "defects": [type(defect).__name__ for part in message.walk() for defect in part.defects],
        "longest_line": max(len(line) for line in raw.split(b"\r\n")),
        "longest_encoded_word": max([0] + [len(word) for word in re.findall(rb"=\?\S+?\?[bqBQ]\?\S*?\?=", raw)]),
        "bare_newline": re.search(rb"(?<!\r)\n|\r(?!\n)", raw) is not None,
        "ascii": raw.isascii(),
        "type": message.get_content_type(),
        "parts": [
            {
                "type": part.get_content_type(),
                "charset": part.get_content_charset(),
                "text": part.get_payload(decode=True).decode(part.get_content_charset() or "ascii"),
            }
            for part in message.walk()
            if not part.is_multipart()
        ],
    }


if __name__ == "__main__":
    json.dump([parse(open(name, "rb").read()) for name in sys.argv[1:]], sys.stdout)
