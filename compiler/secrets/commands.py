"""Programs that take a secret as an argument which no name gives away. Each pattern's group `value` is the secret.

Their own manuals say so: curl(1), sshpass(1), mysql(1), redis-cli, docker-login(1), openssl(1), netrc(5), kubectl, aws.
"""

from __future__ import annotations

from compiler.secrets.shapes import Shape

_WORD = r"""["']?(?P<value>[^\s"'`|;&]+)"""

COMMANDS = (
    Shape("a login for curl", ("curl", "wget"), rf"\b(?:curl|wget)\b[^|;]{{0,2000}}?\s(?:-u|--user|--proxy-user)[ =]*[\"']?(?!-|\d+:\d+)[^\s:\"'$]*:{_WORD}"),
    Shape("a password of sshpass", ("sshpass",), rf"\bsshpass\s+-p\s*{_WORD}"),
    Shape("a password of MySQL", ("mysql", "mariadb"), rf"\b(?:mysql|mariadb)(?:dump|admin)?\b[^|;]{{0,2000}}?\s-p{_WORD}"),
    Shape("a password of Redis", ("redis-cli",), rf"\bredis-cli\b[^|;]{{0,2000}}?\s-a\s+{_WORD}"),
    Shape("a password of a registry", (" login",), rf"\b(?:docker|podman|nerdctl|skopeo|helm|oras|crane|az|oc)\b[^|;]{{0,2000}}? login\b[^|;]{{0,2000}}?\s-p[ =]*{_WORD}"),
    Shape("a Weights & Biases key", ("wandb login",), r"\bwandb login(?:\s+--?[\w=./:-]+)*\s+[\"']?(?P<value>[A-Za-z0-9]{16,})"),
    Shape("a Weights & Biases key", ("wandb", "WANDB"), r"""(?i:wandb)[\w.\- '"=:(]{0,40}\b(?P<value>[0-9a-f]{40})\b"""),
    Shape("a password of OpenSSL", ("pass:",), rf"\s-pass(?:in|out)?\s+pass:{_WORD}"),
    Shape("a password of sudo", ("sudo",), r"""\becho\s+["']?(?P<value>[^\s"'|]+)["']?\s*\|\s*sudo\s+-\w*S"""),
    Shape("a login of .netrc", ("machine",), rf"\bmachine\s+\S+\s+login\s+\S+\s+password\s+{_WORD}"),
    Shape("a Secret of Kubernetes", ("--from-literal",), rf"--from-literal[ =]+[\"']?[\w.-]+={_WORD}"),
    Shape("an AWS key", ("aws configure",), rf"\baws configure set\s+\S{{0,80}}(?:secret|key|token)\S{{0,80}}\s+{_WORD}"),
    Shape("a password of a login", ("stdin", "--with-token", "login"), rf"\b(?:echo|printf)\s+(?:-\w+\s+)*(?:[\"']?%s\S*\s+)?{_WORD}[\"']?\s*\|[^|;]{{0,2000}}?(?:stdin\b|--with-token\b|\blogin\b)"),
    Shape("a password of a login", ("<<<",), rf"(?:stdin|--with-token|\blogin)\b[^|;]{{0,2000}}?<<<\s*{_WORD}"),
    Shape("a cookie of curl", ("curl", "wget"), rf"\b(?:curl|wget)\b[^|;]{{0,500}}?\s(?:-b|--cookie)[ =]*[\"']?[\w.-]+={_WORD}"),
    Shape("a password of a mount", ("pass",), r"(?:\bmount\b[^|;]{0,2000}?[\s,]|\buser(?:name)?=[^\s|;]{0,200}?,)pass(?:word|wd)?2?=(?P<value>[^\s\"'|;,]+)"),
    Shape("a key of a login", ("login(",), r"""login\([^()]{0,200}?\b(?:key|token|api_key|apikey|password)\s*=\s*\\?["'](?P<value>[^"'\s\\]+)"""),
    Shape("a key of a login", ("login(",), r"""login\(\s*\\?["'](?P<value>(?=[^"']*[0-9A-Z])[\w.-]{16,})\\?["']"""),
    Shape("a password of a login", ("login(",), r"""login\(\s*\\?["'][^"']*["']\s*,\s*\\?["'](?P<value>[^"'\s]+)"""),
)  # fmt: skip
