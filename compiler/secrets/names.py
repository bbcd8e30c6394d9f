"""Which names of variables, options and keys hold a secret, and which values under such a name are none."""

from __future__ import annotations

import re

_WORDS = r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+"
_AFTER = frozenset(
    "b b64 base base64 default dev json main new old pem prod production readonly ro rw stage staging test val value".split()
)
"""Words behind a secret's that leave it one: GITHUB_TOKEN_PROD, SECRET_KEY_BASE, PASSWORD_2."""

_PASSWORDS = ("password", "passwords", "passwd", "passwort", "passphrase", "passcode", "pswd", "pwd")
_PASS = frozenset(
    "admin auth basic bind cert database db ftp http imap key keystore ldap login mail mongo mysql pg postgres proxy "
    "rabbitmq redis registry root smtp ssh store sudo user vault".split()
)
"""What stands before `pass` where that is short for a password: a forward pass is none."""

_NOT_TOKEN = frozenset(
    "assistant audio bad begin bos boundary bpe chat cls context cost decode draft each end eod eom eos eot fim first "
    "global ignore image input label last latency mask max min multi new next no num out output pad padding patch per "
    "prefill prefix prev prompt sep separator single special start stop suffix sub system target text think thinking "
    "throughput time tool unk use video vision vocab".split()
)
"""What stands before the tokens that models read: PAD_TOKEN, PER_TOKEN."""

_KEYS = frozenset(
    "access account admin anthropic api app auth client cohere comet consumer deploy encryption fernet gemini github "
    "google groq hf hmac huggingface jwt kaggle licence license master mistral mlflow ngc nvidia openai private secret "
    "service session shared signing ssh storage subscription tenant wandb webhook".split()
)
"""What stands before `key` where that is a secret, whatever its spelling."""

_NOT_KEYS = frozenset(
    "answer batch cache chosen column config data dataset dict event feature field file foreign group hash host hot image "
    "index input item json label lookup map message metadata metric model name nccl node object order output partition "
    "primary prompt public query rejected response reward route routing row score shard sort state table tensor text tool "
    "topology value video".split()
)
"""What stands before `key` in a variable's name where that is a field's name."""

_PHRASES = frozenset(
    {"secret id", "secret access", "secret hash", "secret string", "access key id", "rediscli auth", "basic auth"}
    | {"http auth", "npm auth", "registry auth", "docker auth", "docker auth config"}
)
_ABOUT = frozenset(
    "algo algorithm api arn backend bits budget bytes cache capacity chars choice class cls command cmd config cost count "
    "dataset dim dir directory dispatch dispatcher drop dropping dtype embedding embeddings encoding endpoint engine env "
    "expiration expiry field file filename fmt folder format freq generator handler hash hasher hashing header helper host "
    "id ids impl index interval issuer key keys kind len length level lifetime limit list loc location loss manager map mask "
    "max merge method min mode model mount name names num number parallel parallelism path paths policy port position "
    "precision prefix priority processor provider prune pruning ratio rate ref reference region required rotation router "
    "routing sampler scheme server service shuffle size source split store strategy suffix template threshold throughput "
    "timeout ttl type types uid unit uri url urls usage user username var variable vault version volume window".split()
)
"""Words behind a secret's that make it something about one: TOKEN_PATH, SECRET_NAME, KEY_SIZE."""

_NOT_PASS = frozenset(
    "backward bypass default double each enable extra first forward high last low max min multi no num one per second "
    "single skip two use with warmup".split()
)
"""What stands before `pass`, `pw` or `auth` where nobody logs in by it."""

_LOGINS = frozenset("authorization bearer cookie cred credential credentials creds jwt sas".split())


def kind(name: str) -> str | None:
    """What a variable, option or key of that name holds, as in "a password"; None where it holds no secret."""
    words = [word.lower() for word in re.findall(_WORDS, name.rpartition(".")[2])]
    variable = name.isupper()
    while len(words) > 1 and (words[-1].isdigit() or words[-1] in _AFTER):
        words.pop()
    if not words:
        return None
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if _is_password(last, before, variable=variable):
        return "a password"
    if last.endswith("secret") or (last == "secrets" and variable):
        return "a secret"
    if last in _LOGINS or not _PHRASES.isdisjoint({" ".join(words[-2:]), " ".join(words[-3:])}):
        return "credentials"
    if _is_token(last, before) or (last == "pat" and variable and before):
        return "a token"
    return "a key" if _is_key(last, before, variable=variable) else None


def within(name: str) -> str | None:
    """The kind of a name that says so before its end, or shortly: TOKEN_HF, API_KEY_OPENAI, HF_AUTH. Its value decides too."""
    words = [word.lower() for word in re.findall(_WORDS, name)]
    for end in range(1, len(words) + 1):
        last, before = words[end - 1], words[end - 2] if end > 1 else ""
        if not _ABOUT.isdisjoint(words[end:]):
            continue
        if last in _PASSWORDS and last != "pwd":
            return "a password"
        if last in {"secret", "secrets", "clientsecret"}:
            return "a secret"
        if last.endswith("token") and before not in _NOT_TOKEN:
            return "a token"
        if _is_key(last, before, variable=False) or last == "apikey":
            return "a key"
    return _shortly(words)


def _shortly(words: list[str]) -> str | None:
    """The kind by a short word at the end of others, which is not always of a secret: ROOT_PW, HF_TOK, gitlab_pat."""
    while len(words) > 2 and (words[-1].isdigit() or words[-1] in _AFTER):
        words = words[:-1]
    before, last = words[-2:] if len(words) > 1 else ("", "")
    if last in {"pw", "psw", "passw", "pass"} and before not in _NOT_PASS:
        return "a password"
    if last == "tok" and before not in _NOT_TOKEN:
        return "a token"
    if last == "pat" and before in _KEYS | {
        "ado",
        "azure",
        "gh",
        "gitea",
        "gitlab",
        "bitbucket",
        "databricks",
        "docker",
        "git",
    }:
        return "a token"
    return "credentials" if last in {"auth", "login", "sid"} and before not in _NOT_PASS else None


def random(value: str) -> bool:
    """Whether a value is no word, number or size that people write: it mixes letters with digits, or small ones with capitals."""
    text = value.strip().strip("\\\"'")
    if len(text) < _SHORTEST_RANDOM or re.search(r"\s", text) or re.fullmatch(_PLAIN, text):
        return False
    mixed = re.search("[0-9]", text) and re.search("[A-Za-z]", text)
    return bool(mixed or re.search("[a-z][A-Z]+[a-z]+[A-Z]|[a-z][A-Z]{2}|[A-Za-z]{24}", text))


def _is_password(last: str, before: str, *, variable: bool) -> bool:
    if last.endswith(_PASSWORDS):
        return last != "oldpwd"
    joined = last.removesuffix("pass")
    return joined != last and (joined in _PASS or (not joined and (before in _PASS or (variable and not before))))


def _is_token(last: str, before: str) -> bool:
    if last == "tokens":
        return before in {"access", "api", "auth", "bearer", "refresh"}
    return last.endswith("token") and before not in _NOT_TOKEN


def _is_key(last: str, before: str, *, variable: bool) -> bool:
    joined = last.removesuffix("s").removesuffix("key")
    if joined == last.removesuffix("s"):
        return False
    if joined:
        return joined in _KEYS
    return before in _KEYS or (variable and bool(before) and before not in _NOT_KEYS)


_SHORTEST_RANDOM = 6
_PLAIN = (
    r"(?i:[-+]?[0-9][0-9.,_]*(?:e[-+]?[0-9]+)?(?:[a-z]{1,6}(?:/s)?)?|0x[0-9a-f]{1,16}"
    r"|(?:bf|fp|float|int|uint|sha|md|aes|hs|rs|ed|utf|gpt|base|top|v)-?[0-9]+(?:[-_.]?[a-z0-9]{1,6})?"
    r"|[a-z][a-z0-9-]*(?:\.[a-z][a-z0-9-]*)+(?::[0-9]+)?|[a-z][a-z0-9+]*://[^@]*|[a-z]+(?:[-_.:][a-z]+|[-_.:][0-9]{1,4})*)"
)
"""Numbers with and without a unit, types, hosts, URLs, and words with a hyphen between them."""

_NOTHING = r"(?i:|none|null|true|false|yes|no|on|off|auto|[01]|[*x.]{3,}|<[^<>]*>|redacted)"
_REFERENCE = (
    r"(?s:\$[A-Za-z_]+|\$[A-Z_][A-Z0-9_]*|\$?\$\{[^{}]*\}|\$?\$\(.*|`.*|%\w+%|\{\{.*|\{\w*\}|%s"
    r"|@[\w.~-]*/[\w./~-]+|(?:env|file|vault|ssm):.+)"
)
_PATH = r"(?:~[\w-]*|\.{1,2}|\$\w+|\$\{\w+\})?(?:/[\w.@%+,:=~$\{\}-]*)+"
_CODE = r"(?s:(?:str|int|bytes|Optional)\b.*|[A-Za-z_][\w.]*[\[(].*|lambda\b.*)"


def harmless(value: str, name: str = "") -> bool:
    """Whether a value is no secret even under a secret's name: nothing, a switch, a path, a reference."""
    text = value.strip().strip("\"'")
    if re.fullmatch(_NOTHING, text) or re.fullmatch(_REFERENCE, text):
        return True
    if re.fullmatch(_PATH, text):  # but an AWS secret, which is 40 characters of base64, may begin with a slash
        return not (re.fullmatch(r"[A-Za-z0-9/+]{40}", text) and "secret" in name.lower())
    return name.islower() and kind(name) in ("a token", "a key") and bool(re.fullmatch(r"-?[0-9]{1,6}", text))


def programmed(value: str, name: str) -> bool:
    """Whether a value is a piece of a program that passes a secret on: os.environ["X"], args.token, token=token."""
    text = value.strip("\"'")
    if text == name or re.fullmatch(_CODE, value):
        return True
    parts = value.split(".")
    return len(parts) > 1 and "".join(parts).isidentifier() and kind(parts[-1]) is not None
