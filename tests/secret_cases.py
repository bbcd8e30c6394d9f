"""Secrets that nobody ever had, each in two parts so that no scanner takes this file for a leak, and what looks alike."""

from __future__ import annotations

_ALNUM = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
_HEX = "0123456789abcdef0123456789abcdef01234567"

SHAPES = {
    "huggingface": "hf_" + _ALNUM[:34],
    "openai": "sk-" + _ALNUM + "T3BlbkFJ",
    "openai project": "sk-proj-" + _ALNUM + "_-" + _ALNUM,
    "openai service": "sk-svcacct-" + _ALNUM,
    "anthropic": "sk-ant-" + "api03-" + _ALNUM + "AA",
    "openrouter": "sk-or-" + "v1-" + _HEX,
    "github": "ghp_" + _ALNUM,
    "github app": "ghs_" + _ALNUM,
    "github oauth": "gho_" + _ALNUM,
    "github user": "ghu_" + _ALNUM,
    "github refresh": "ghr_" + _ALNUM,
    "github fine grained": "github_pat_" + _ALNUM[:22] + "_" + _ALNUM,
    "gitlab": "glpat-" + _ALNUM[:20],
    "gitlab deploy": "gldt-" + _ALNUM[:20],
    "gitlab runner": "glrt-" + _ALNUM[:20],
    "gitlab trigger": "glptt-" + _HEX,
    "slack bot": "xoxb-" + "123456789012-123456789012-" + _ALNUM[:24],
    "slack user": "xoxp-" + "1234567890-1234567890-1234567890-" + _HEX[:32],
    "slack app": "xapp-" + "1-A1B2C3-1234567890-" + _HEX,
    "slack hook": "https://hooks.slack.com/" + "services/T0A1B2C3D/B0A1B2C3D/" + _ALNUM[:24],
    "discord hook": "https://discord.com/api/" + "webhooks/123456789012345678/" + _ALNUM,
    "teams hook": "https://a.webhook.office.com/" + "webhookb2/" + _HEX,
    "google": "AIza" + "Sy" + _ALNUM[:33],
    "google access": "ya29." + "a0" + _ALNUM,
    "google client": "GOCSPX-" + _ALNUM[:28],
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "aws session": "ASIA" + "IOSFODNN7EXAMPLE",
    "azure sas": "https://a.blob.core.windows.net/c?sv=2024&sig=" + _ALNUM + "%3D",
    "azure storage": "DefaultEndpointsProtocol=https;AccountName=a;Account" + "Key=" + _ALNUM * 2 + "==",
    "s3 signed": "https://b.s3.amazonaws.com/k?X-Amz-" + "Signature=" + _HEX,
    "nvidia": "nvapi-" + _ALNUM + "_-" + _ALNUM,
    "wandb": "wandb login " + _HEX,
    "npm": "npm_" + _ALNUM,
    "pypi": "pypi-" + "AgEIcHlwaS5vcmc" + _ALNUM,
    "docker": "dckr_pat_" + _ALNUM[:27],
    "stripe": "sk_live_" + _ALNUM[:24],
    "stripe restricted": "rk_live_" + _ALNUM[:24],
    "databricks": "dapi" + _HEX[:32],
    "digitalocean": "dop_v1_" + _HEX + _HEX[:24],
    "twilio": "SK" + _HEX[:32],
    "sendgrid": "SG." + _ALNUM[:22] + "." + _ALNUM,
    "vault": "hvs." + _ALNUM * 3,
    "grafana": "glsa_" + _ALNUM[:32] + "_0a1b2c3d",
    "groq": "gsk_" + _ALNUM,
    "replicate": "r8_" + _ALNUM,
    "telegram": "123456789:" + "A" + _ALNUM[:34],
    "atlassian": "ATATT3" + _ALNUM * 4,
    "jwt": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0." + _ALNUM,
    "base64 token": "eyJ" + "hcGlfYWRkcmVzcyI6Imh0dHBzOi8vYXBwLm5lcHR1bmUuYWkiLCJhIjoiYiJ9",
    "private key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----\n",
    "rsa key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "database": "postgres://user:" + "pw@db.example.com/x",
    "redis": "redis://:" + "pw@cache:6379/0",
    "proxy": "http://me:" + "hunter2@proxy:3128",
    "git token": "https://" + _ALNUM + "@git.example.com/r",
    "mysql": "root:" + "hunter2@tcp(db:3306)/x",
    "bearer": "Bearer " + _ALNUM,
    "authorization": "Authorization: " + "Basic dXNlcjpodW50ZXIy",
    "basic": "Basic " + "dXNlcjpodW50ZXIy",
    "header": "X-Api-Key: " + _ALNUM,
    "connection": "Server=db;Uid=me;Pwd=" + "hunter2;",
    "assignment": "env WANDB_API_KEY=" + "hunter2 python3 train.py",
    "option": "python3 serve.py --api-key " + "hunter2",
    "json": '{"model": "m", "api_key": ' + '"hunter2"}',
    "curl": "curl -u me:" + "hunter2 https://example.com",
    "sshpass": "sshpass -p " + "hunter2 ssh host",
}
"""What shows by itself, wherever it is written."""

NAMES = """
PGPASSWORD MYSQL_PWD DB_PASS SSHPASS SMTP_PASSWORD REDIS_PASSWORD PASSWORD PASSWORD_2 KEYSTORE_PASSPHRASE MYSQLPASSWORD
OPENAI_KEY OPENAI_API_KEY WANDB_KEY WANDB_API_KEY APIKEY COMET_API_KEY KAGGLE_KEY NGC_API_KEY GEMINI_KEY GCP_SA_KEY
SSH_PRIVATE_KEY PRIVATE_KEY_PEM SIGNING_KEY ENCRYPTION_KEY LICENSE_KEY MASTER_KEY AZURE_STORAGE_KEY TS_AUTHKEY SSH_KEY
AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID AWS_SESSION_TOKEN HF_TOKEN HUGGING_FACE_HUB_TOKEN GITHUB_TOKEN_PROD ACCESSTOKEN
TOKEN NPM_TOKEN GITHUB_PAT NEPTUNE_API_TOKEN VAULT_SECRET_ID CLIENT_SECRET AZURE_CLIENT_SECRET DJANGO_SECRET_KEY
SECRET_KEY_BASE MY_SECRETS DB_CREDENTIALS GOOGLE_CREDS REDISCLI_AUTH DOCKER_AUTH_CONFIG SESSION_COOKIE SERVICE_JWT
hf_token dbPassword clientSecret apiKey api-key auth_token
""".split()
"""Names of variables whose value is a secret whatever it looks like."""

HINTING = """
TOKEN_HF API_KEY_OPENAI HF_TOKEN_READ PASSWORD_DB HF_AUTH DB_PW SECRET_FOO APIKEY_OPENAI SECRET_TOKEN_FOR_HF HF_TOK ROOT_PW
gitlab_pat TOKEN_GITHUB PASSWD_ROOT ACCESS_KEY_S3 WANDB_KEY_TEAM SECRETS_TEAM password_db fs.s3a.access.key
spark.hadoop.fs.s3a.secret.key
""".split()
"""Names whose value is a secret where it looks like one: the word for it is not the last, or short."""

NOT_RANDOM = [
    "4096",
    "1.5e6",
    "true",
    "forward",
    "round-robin",
    "float16",
    "bf16",
    "80GB",
    "node-1",
    "cache.example.com:80",
]
"""What such a name may hold."""

PROGRAM_TEXTS = [
    'os.environ["HF_TOKEN"] = "{}"', "os.environ['HF_TOKEN']='{}'", "os.putenv('HF_TOKEN','{}')",
    'os.environ.setdefault("HF_TOKEN", "{}")', 'wandb.login(key="{}")', 'wandb.login(relogin=True, key="{}")',
    'huggingface_hub.login("{}")', "setenv HF_TOKEN {}", "set -gx HF_TOKEN {}", "ENV HF_TOKEN {}",
    "mount -t cifs -o user=u,pass={} //h/s /m", "python3 x.py --use-auth-token {}", "HF_TOKEN =  {}", "HF_TOKEN\t=\t{}",
    "--conf spark.hadoop.fs.s3a.secret.key={}", "fs.s3a.access.key={}", "echo {} | docker login -u me --password-stdin",
    "docker login --password-stdin <<< {}", "echo {} | gh auth login --with-token", "curl -b session={} https://x",
    "<password>{}</password>", "<name>fs.s3a.secret.key</name><value>{}</value>", "log in with the password {} there",
    "https://u:{}@h/c.json", "https:/u:{}@h/c.json", "//u:{}@h/s", "https://u:p@{}@h/c", '["--hf-token", "{}"]',
]  # fmt: skip
"""Ways to hand a secret on in the text of a program."""

OPTIONS = "--token --hf-token --api-key --admin-api-key --password --auth-token --client-secret --access-key --wandb-key --ssl-keyfile-password --db_password --private-key".split()
"""Options of a program whose value is a secret."""

INNOCENT_VARIABLES = {
    "HF_TOKEN_PATH": "/etc/hf",
    "HF_TOKEN_FILE": "token.txt",
    "PASSWORD_FILE": "/run/secrets/pw",
    "PGPASSFILE": "/home/me/.pgpass",
    "SSH_PRIVATE_KEY": "/home/me/.ssh/id_rsa",
    "GOOGLE_APPLICATION_CREDENTIALS": "/etc/gcp/sa.json",
    "KUBE_TOKEN_PATH": "/var/run/secrets/token",
    "TOKENIZERS_PARALLELISM": "false",
    "TOKENIZER_MODEL": "gpt2",
    "MAX_TOKENS": "4096",
    "SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK": "128",
    "EOS_TOKEN": "</s>",
    "BYTES_PER_TOKEN": "2",
    "NCCL_IB_HCA": "=mlx5_0,mlx5_1",
    "NCCL_DEBUG": "INFO",
    "SECRET_NAME": "registry-login",
    "TOKEN_BUDGET": "8192",
    "NUM_TOKENS": "5",
    "KEY_SIZE": "4096",
    "TOKEN_DTYPE": "float16",
    "MOE_TOKEN_DISPATCHER_TYPE": "flex2x",
    "TOKEN_DROP_POLICY": "probs1",
    "API_KEY_HEADER": "X-Api1",
    "PASSWORD_HASHER": "pbkdf2x",
    "MUNGE_AUTH": "munge",
    "CACHE_KEY": "layer-3",
    "SORT_KEY": "name",
    "PUBLIC_KEY": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI",
    "USE_AUTH_TOKEN": "true",
    "HF_TOKEN": "",
    "WANDB_API_KEY": "null",
    "API_KEY": "$API_KEY",
    "GITHUB_TOKEN": "${GITHUB_TOKEN}",
    "SLACK_TOKEN": "$(SLACK_TOKEN)",
    "PWD": "/workspace",
    "PASS_TYPE": "forward",
    "TWO_PASS": "1",
    "MONKEY": "george",
    "AUTHOR": "me",
    "KEYBOARD": "us",
    "HF_HOME": "/data/hf_cache",
    "WANDB_MODE": "offline",
}  # fmt: skip

INNOCENT_TEXTS = [
    "nvcr.io/nvidia/pytorch@sha256:" + _HEX + _HEX[:24],
    "docker://pytorch:24.07-py3@sha256:" + _HEX + _HEX[:24],
    "registry.example.com:5000/team/image:24.07-py3",
    _HEX,
    "123e4567-e89b-12d3-a456-426614174000",
    "s3://bucket/path/to/checkpoints",
    "user@host.example.com",
    "http://host:8080/path",
    "http://host:8080/path@v2",
    "http://[::1]:8080/a@b",
    "git+ssh://git@host/repo",
    "https://github.com/org/repo@" + _HEX,
    "ssh://git@github.com:22/org/repo",
    "https://user@host/x",
    "postgres://user:$PGPASSWORD@db/x",
    "postgres://user:${PGPASSWORD}@db/x",
    "Authorization: Bearer $TOKEN",
    'curl -H "Authorization: Bearer $(cat /run/token)" https://example.com',
    "curl -u $USER_AND_PASSWORD https://example.com",
    "the bearer of bad news, and a basic configuration",
    "4 tokens per second, each token: 3 bytes",
    "--tokenizer-type HuggingFaceTokenizer --tokenizer-model /models/tokenizer.model",
    "--max-num-batched-tokens 8192 --moe-token-dispatcher-type alltoall",
    "--stop-token-id 2 --eos-token-id 3 --pad-token '<pad>'",
    "--input-key prompt --label-key label --text-key content",
    "--use-auth-token --trust-remote-code",
    "--ssl-keyfile /etc/tls/key.pem --api-key $API_KEY",
    "--api-key ${API_KEY} --password-file /run/pw",
    "HF_TOKEN=$(cat /run/secrets/hf) exec python3 train.py",
    "HF_TOKEN=$HF_TOKEN python3 train.py",
    "token = os.environ['HF_TOKEN']; login(token=token, key=args.api_key)",
    "if token == eos: stop()",
    "names = ['HF_TOKEN', 'WANDB_API_KEY']; tokens = ['token', 'model']",
    "the password below, a password manager, and a password file",
    "setenv HF_TOKEN $HF_TOKEN",
    "echo $PW | docker login --password-stdin",
    "echo done | tee log",
    "<token>$TOKEN</token>",
    "/data:/data:ro,/home:/home",
    "def f(token: str, api_key: str) -> None: ...",
    "-----BEGIN CERTIFICATE-----",
    "/data/sk-learn-datasets-of-2024/hf_hub/npm_config",
    "/very/long/path/without/anything/in/it/that/could/be/a/secret/of/anyone/model-00001-of-00042.safetensors",
    "task-force-of-the-whole-organisation-and-more",
    "aws s3 sync s3://bucket /data",
    "docker run -u 1000:1000 -p 8000:8000 image",
    "mysql --defaults-file=/etc/my.cnf -u me",
    "mlx5_0:1,mlx5_1:1",
    "24:00:00",
    "",
    "null",
]  # fmt: skip
