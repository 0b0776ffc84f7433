"""Addresses that lead, or try to lead, to a machine's own services: what a hub must never dial for a member.

Each has a port of a canary on loopback; `{port}` is filled in by `addresses`.
"""

from __future__ import annotations

LOOPBACK = (
    *("127.0.0.1", "127.0.0.2", "127.1", "127.0.1", "127.255.255.254", "0.0.0.0", "0", "00.0.0.0", "127.0.0.1."),
    *("2130706433", "017700000001", "0x7f000001", "0x7F.0x0.0x0.0x1", "0177.0.0.1", "0177.0.0.01", "127.0.0x0.1", "0x7f.1"),
    *(
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[0000::0001]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
    ),
    *("[::ffff:0:127.0.0.1]", "[::127.0.0.1]", "[::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
    *("[2002:7f00:0001::1]", "[2001:0:7f00:1::1]", "[::1%25lo]", "[::1%lo]", "[fe80::1%25lo]", "localhost", "LOCALHOST"),
    *("localhost.", "localhost.localdomain", "ip6-localhost", "ip6-loopback"),
)
PRIVATE = (
    *("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.255.255", "169.254.169.254"),
    *("169.254.1.1", "100.64.0.1", "100.127.255.254", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "0.1.2.3", "167772161", "0xa000001", "012.0.0.1"),
    *("2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "[fc00::1]", "[fd00::1]", "[fd12:3456:789a::1]", "[fe80::1]"),
    *("[fec0::1]", "[ff02::1]", "[2001:db8::1]", "[100::1]", "[::ffff:10.0.0.1]", "[::ffff:169.254.169.254]"),
    *("[::ffff:192.168.0.1]", "[64:ff9b::10.0.0.1]", "[64:ff9b::169.254.169.254]", "[64:ff9b:1::10.0.0.1]"),
    *("[2002:0a00:0001::]", "[2002:a9fe:a9fe::]", "[::10.0.0.1]", "[3fff::1]", "[5f00::1]"),
)
FORMS = (
    *("https://user@127.0.0.1:{port}", "https://user:password@127.0.0.1:{port}", "https://public.example@127.0.0.1:{port}"),
    *("https://public.example%40127.0.0.1:{port}", "https://127.0.0.1:{port}@public.example", "https://@127.0.0.1:{port}"),
    *(
        "https://127.0.0.1:{port}#@public.example",
        "https://127.0.0.1:{port}?@public.example",
        "https://127.0.0.1:{port}\\@public.example",
    ),
    *(
        "https://public.example\\@127.0.0.1:{port}",
        "https:///127.0.0.1:{port}",
        "https:/127.0.0.1:{port}",
        "https:127.0.0.1:{port}",
    ),
    *("//127.0.0.1:{port}", "127.0.0.1:{port}", "http://127.0.0.1:{port}", "HTTP://127.0.0.1:{port}", "ftp://127.0.0.1:{port}"),
    *("file:///etc/passwd", "gopher://127.0.0.1:{port}/_x", "dict://127.0.0.1:{port}/x", "unix:///var/run/x.sock", "data:,x"),
    *("https://127.0.0.1:{port}\r\nHost: public.example", "https://127.0.0.1:{port}%0d%0aX: y", "https://127.0.0.1 :{port}"),
    *(
        "https://\t127.0.0.1:{port}",
        "https://127.0.0.1\u3002:{port}",
        "https://\u2460\u2461\u2466.0.0.1:{port}",
        "https://１２７.0.0.1:{port}",
    ),
    *(
        "https://127。0。0。1:{port}",
        "https://loc\u0251lhost:{port}",
        "https://127.0.0.1:{port}:{port}",
        "https://127.0.0.1:0{port}",
    ),
    *(
        "https://127.0.0.1:+{port}",
        "https://[127.0.0.1]:{port}",
        "https://[::1]x:{port}",
        "https://::1:{port}",
        "https://%31%32%37.0.0.1:{port}",
    ),
    *(
        "https://127%2e0%2e0%2e1:{port}",
        "https://127.0.0.1%00.public.example:{port}",
        "https://127.0.0.1;.public.example:{port}",
    ),
    *(
        "https://{{127.0.0.1}}:{port}",
        "https://-127.0.0.1:{port}",
        "https://:{port}",
        "https://",
        "",
        " ",
        "https://.:{port}",
        "https://..:{port}",
    ),
)
# Names whose address is what the name server of an attacker says; the second answer of a name is another than its first.
NAMES = {
    "loopback.attacker.example": ["127.0.0.1"],
    "loopback6.attacker.example": ["::1"],
    "mapped.attacker.example": ["::ffff:127.0.0.1"],
    "nat64.attacker.example": ["64:ff9b::7f00:1"],
    "any.attacker.example": ["0.0.0.0"],
    "metadata.attacker.example": ["169.254.169.254"],
    "inside.attacker.example": ["10.0.0.1"],
    "linklocal.attacker.example": ["fe80::1"],
    "both.attacker.example": ["127.0.0.1", "10.0.0.1", "::1"],
}


def addresses(port: int) -> list[str]:
    """Every address of the corpus, with the canary's port."""
    hosts = [f"https://{host}:{port}{path}" for host in (*LOOPBACK, *PRIVATE) for path in ("", "/x/")]
    return [*hosts, *(form.replace("{port}", str(port)) for form in FORMS), *(f"https://{name}:{port}" for name in NAMES)]
