"""Secrets that show by their own shape. The set is kept by hand: a shape is an issuer's published format, not a guess by entropy.

Formats are those of the issuers' documentation and of the rules that secret scanners publish (gitleaks, GitHub's and GitLab's
push protection). Lengths are lower bounds, so that a truncated or older token is found too.
"""

from __future__ import annotations

from compiler.frozen import dataclass

_WORD = r"(?<![A-Za-z0-9_])"
_END = r"(?![A-Za-z0-9_+/=-])"


@dataclass(frozen=True)
class Shape:
    """`words` are literals of which one is in every text that `pattern` matches: looking for them is fast.

    Where the pattern has a group `value`, that is the secret, and it is none where it only refers to one (`$NAME`).
    What is in its group `around` is hidden with it.
    """

    kind: str
    words: tuple[str, ...]
    pattern: str


def _token(kind: str, words: str, rest: str) -> Shape:
    """A prefix (one of `words`) and what follows it."""
    given = tuple(words.split())
    prefix = "|".join(word.replace(".", r"\.") for word in given)
    return Shape(kind, given, f"{_WORD}(?:{prefix}){rest}")


TOKENS = (
    _token("a Hugging Face token", "hf_ api_org_", r"[A-Za-z0-9]{20,}"),
    _token("an OpenAI key", "sk-", r"[A-Za-z0-9]{20,}"),
    _token("an OpenAI or Anthropic key", "sk-proj- sk-svcacct- sk-admin- sk-ant- sk-or- sk-lf-", r"[\w-]{8,}"),
    _token("a GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9]{20,}"),
    _token("a GitHub token", "github_pat_", r"\w{16,}"),
    _token(
        "a GitLab token",
        "glpat- gldt- glrt- glptt- glcbt- glft- glsoat- glimt- glagent- gloas- glffct- GR1348941",
        r"[\w.-]{10,}",
    ),
    _token("a Slack token", "xoxa- xoxb- xoxc- xoxd- xoxe- xoxo- xoxp- xoxr- xoxs- xapp- xoxe.xox", r"[\w%-]{8,}"),
    _token("a Google API key", "AIza", rf"[\w-]{{30,}}{_END}"),
    _token("a Google access token", "ya29.", r"[\w-]{10,}"),
    _token("a Google client secret", "GOCSPX-", r"[\w-]{16,}"),
    _token("an AWS access key", "AKIA ASIA ABIA ACCA", rf"[A-Z0-9]{{16}}{_END}"),
    _token("an Amazon Bedrock key", "ABSK", rf"[A-Za-z0-9+/]{{80,}}={{0,2}}{_END}"),
    _token("an Alibaba Cloud access key", "LTAI", rf"[A-Za-z0-9]{{12,24}}{_END}"),
    _token("an NVIDIA API key", "nvapi-", r"[\w-]{16,}"),
    _token("an npm token", "npm_", r"[A-Za-z0-9]{20,}"),
    _token("a PyPI token", "pypi-", r"[A-Za-z0-9]{16,}"),
    _token("a Docker token", "dckr_pat_ dckr_oat_", r"[\w-]{16,}"),
    _token("a Stripe key", "sk_live_ sk_test_ sk_prod_ rk_live_ rk_test_ rk_prod_ whsec_", r"[A-Za-z0-9]{10,}"),
    _token("a Databricks token", "dapi dkea dose", rf"[a-f0-9]{{32}}(?:-\d)?{_END}"),
    _token("a DigitalOcean token", "dop_v1_ doo_v1_ dor_v1_", r"[a-f0-9]{16,}"),
    _token("a Twilio key", "SK", rf"[a-f0-9]{{32}}{_END}"),
    _token("a SendGrid key", "SG.", r"[\w-]{16,}\.[\w-]{16,}"),
    _token("a Mailgun key", "key-", rf"[a-f0-9]{{32}}{_END}"),
    _token("a Vault token", "hvs. hvb. hvr.", r"[\w-]{20,}"),
    _token("a Terraform token", ".atlasv1.", r"[\w=-]{40,}"),
    _token("an Atlassian token", "ATATT3 ATCTT3 ATBB", rf"[\w=-]{{20,}}{_END}"),
    _token("an Artifactory key", "AKCp cmVmd", rf"[A-Za-z0-9]{{59,}}{_END}"),
    _token("a Grafana token", "glsa_ glc_", r"[\w+/-]{20,}"),
    _token("a key of a model service", "gsk_ xai- pplx- r8_ tgp_v1_ fw_ csk- jina_ lsv2_pt_ lsv2_sk_", r"[A-Za-z0-9]{20,}"),
    _token("a service's token", "lin_api_ ntn_ rubygems_ shpat_ shpca_ shppa_ shpss_ sntryu_ pnu_ pul-", r"[A-Za-z0-9]{20,}"),
    _token("a service's token", "sntrys_ pscale_tkn_ pscale_pw_ pscale_oauth_ HRKU-AA sq0atp- sq0csp- tskey-", r"[\w.+/=-]{16,}"),
    _token("a service's token", "NRAK- PMAK- dp.pt. dp.st. dt0c01. ops_eyJ xkeysib- sbp_ figd_", r"[\w.+/-]{20,}"),
    _token("an age key", "AGE-SECRET-KEY-1", r"[A-Z0-9]{20,}"),
    _token("an OpenShift token", "sha256~", r"[\w-]{30,}"),
)  # fmt: skip
"""Tokens that begin as their issuer alone begins them."""

_UNTIL = r"""[^\s"'`,;&|<>]"""
_SCHEME = r"(?:basic|bearer|token|digest|negotiate|apikey)"

_URL = r"(?::/{1,2}|(?<![\w:/])//)"
"""What a login stands behind: one slash is left where somebody took a URL for a path, and none before // is a share."""

STRUCTURES = (
    Shape("a JSON web token", ("eyJ",), r"(?<![A-Za-z0-9_+/-])eyJ[\w-]{6,}\.[\w-]{4,}(?:\.[\w-]*)*"),
    Shape("a token in base64", ("eyJ",), rf"(?<![A-Za-z0-9_+/-])eyJ[A-Za-z0-9+/_-]{{40,}}={{0,2}}{_END}"),
    Shape(
        "an URL with a password",
        (":/", "//"),
        rf"""{_URL}(?P<around>[^\s/:@"',\[\]<>]{{0,200}}:(?!\d+(?:[/?#]|$))(?P<value>[^\s"'`]{{1,300}}))@(?!sha\d+:)""",
    ),
    Shape("an URL with a token", (":/", "//"), rf"{_URL}(?P<value>[A-Za-z0-9_-]{{20,200}}):?@"),
    Shape("a data source with a password", ("@tcp(", "@unix(", "@("), r"(?<![\w/.-])[\w.-]{1,200}:(?P<value>[^\s@/]{1,200})@(?:tcp|unix)?\("),
    Shape("a signed URL", ("sig=",), r"[?&;]sig=(?P<value>[\w%+/=-]{16,})"),
    Shape("a signed URL", ("-Signature=", "-Security-Token="), r"X-(?:Amz|Goog)-(?:Signature|Security-Token)=(?P<value>[\w%+/=-]{16,})"),
    Shape("an Azure key", ("AccountKey=", "SharedAccessKey="), r"(?:AccountKey|SharedAccessKey)=(?P<value>[A-Za-z0-9+/]{16,}={0,2})"),
    Shape("an Azure client secret", ("Q~",), r"(?<![\w~.-])[\w~.]{3}\dQ~[\w~.-]{31,34}(?![\w~.-])"),
    Shape("a Telegram token", (":A",), rf"{_WORD}\d{{6,12}}:A[\w-]{{34}}{_END}"),
    Shape("a Mailchimp key", ("-us",), rf"{_WORD}[0-9a-f]{{32}}-us\d{{1,2}}{_END}"),
    Shape(
        "a webhook's URL",
        ("hooks.slack.com/", "/api/webhooks/", "webhook.office.com/", "/webhook/"),
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w/+-]{16,}"
        r"|discord(?:app)?\.com/api/webhooks/\d+/[\w-]{16,}|webhook\.office\.com/webhookb2/[\w@/-]{16,}"
        r"|outlook\.office(?:365)?\.com/webhook/[\w@/-]{16,}",
    ),
)  # fmt: skip
"""Secrets that show by what is around them, in one word."""

PHRASES = (
    Shape("a private key", ("PRIVATE KEY", "PuTTY-User-Key-File"), r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY|PuTTY-User-Key-File-\d"),
    Shape("a bearer token", ("earer", "EARER"), rf"\b(?i:bearer)[ :=]+[\"']?(?P<value>(?={_UNTIL}*[0-9A-Z])[\w.~+/=$-]{{6,}})"),
    Shape("a login in base64", ("asic", "ASIC"), r"\b(?i:basic) (?P<value>(?=[A-Za-z0-9+/]*[0-9=+/])[A-Za-z0-9+/]{8,}={0,2})(?![\w.-])"),
    Shape(
        "an authorization header",
        ("uthorization", "UTHORIZATION"),
        rf"(?i:authorization)[\"']?\s*[:=]\s*[\"']?(?i:{_SCHEME}\s+)?(?P<value>(?!(?i:{_SCHEME})\b)[^\s\"'`]{{4,}})",
    ),
)  # fmt: skip
"""The same, of several words."""
