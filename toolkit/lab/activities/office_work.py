"""What people do at work: shells, files, repositories, mail, printing, databases."""

from __future__ import annotations

from idskit.lab.activity import Activity, benign, benign_script

_SSH = "ssh {ssh} -o BatchMode=yes root@{server}"
_GIT_SSH = 'env GIT_SSH_COMMAND="ssh {ssh}" git'
_REPOSITORY = "root@{server}:{folder}/site/repo.git"
_MARIADB = 'mariadb -h {server} -u operator "-pcorrect horse" lab'


def _shell(name: str, script: str, server: str, *needs: str, seconds: int = 60) -> Activity:
    return benign(name, f"sh -c '{script}'", server, needs=needs, seconds=seconds)


OFFICE_WORK = (
    benign("ssh-command", _SSH + " uptime", "ssh"),
    benign("ssh-ipv6", "ssh {ssh} root@fd77::1 ls -l /etc", "ssh"),
    benign("rsync-ipv6", "rsync -a rsync://[fd77::1]/site/ {scratch}/", "rsync"),
    benign("ssh-listing", _SSH + " ls -lR /usr/share/doc/openssh-server /etc", "ssh"),
    _shell(
        "ssh-typing",
        '(for n in $(seq {count}); do echo "ls -l /etc | head -$n"; sleep {pause}; done; '
        "echo exit) | ssh {ssh} -tt root@{server}",
        "ssh",
        "ssh",
    ),
    _shell(
        "ssh-idle", "sleep 25 | ssh {ssh} -o ServerAliveInterval=5 root@{server} cat", "ssh", "ssh"
    ),
    _shell(
        "ssh-many-commands",
        'for n in $(seq {count}); do ssh {ssh} root@{server} "uname -a; df; id"; done',
        "ssh",
        "ssh",
    ),
    _shell(
        "ssh-ansible",
        "for h in {server} {other} 10.77.0.11; do for n in 1 2; do "
        'ssh {ssh} root@$h "echo ~ && sleep 0"; scp -q {ssh} {folder}/words.txt root@$h:/dev/null; '
        'ssh {ssh} root@$h "python3 -c pass; rm -f /tmp/none"; done; done',
        "ssh",
        "ssh",
        "scp",
    ),
    _shell(
        "ssh-mistyped",
        "for w in horse hrose; do "
        "sshpass -p $w ssh {ssh} -o PubkeyAuthentication=no root@{server}; "
        'sleep 2; done; ssh {ssh} root@{server} "ls -l /etc"',
        "ssh",
        "sshpass",
        "ssh",
    ),
    _shell(
        "ssh-mistyped-once",
        "sshpass -p hrose ssh {ssh} -o PubkeyAuthentication=no root@{server}; sleep {pause}; "
        "(for n in $(seq {count}); do echo date; sleep {pause}; done) | ssh {ssh} root@{server}",
        "ssh",
        "sshpass",
        "ssh",
    ),
    _shell(
        "ssh-forward",
        "ssh {ssh} -N -L 9000:127.0.0.1:22 root@{server} & sleep 2; "
        'for n in $(seq 4); do ssh {ssh} -p 9000 root@127.0.0.1 "ls -lR /etc"; sleep 1; done; '
        "kill $!",
        "ssh",
        "ssh",
    ),
    benign("scp", "scp -q {ssh} root@{server}:{folder}/site/video.mp4 /dev/null", "ssh"),
    benign("scp-up", "scp -q {ssh} {folder}/site/video.mp4 root@{server}:/dev/null", "ssh"),
    _shell(
        "sftp",
        "(echo ls -l {folder}/site; "
        "for n in 1 2 3; do echo get {folder}/site/page$n.html {scratch}; "
        "echo get {folder}/site/video.mp4 {scratch}; done) | sftp -q {ssh} root@{server}",
        "ssh",
        "sftp",
    ),
    _shell(
        "backup", "tar c {folder}/site | ssh {ssh} root@{server} cat \\> /dev/null", "ssh", "ssh"
    ),
    benign(
        "rsync-ssh",
        'rsync -a -e "ssh {ssh}" root@{server}:{folder}/site/ {scratch}/',
        "ssh",
        needs=("ssh",),
    ),
    _shell(
        "rsync",
        "for n in 1 2 3; do rsync -a rsync://{server}/site/ {scratch}/; touch {scratch}/*; "
        "sleep 1; "
        "done",
        "rsync",
        "rsync",
    ),
    benign("git-clone", "git clone -q git://{server}/repo.git {scratch}/repo", "git"),
    benign("git-clone-http", "git clone -q http://{server}/repo.git {scratch}/repo", "web"),
    benign(
        "git-clone-ssh",
        f"{_GIT_SSH} clone -q {_REPOSITORY} {{scratch}}/repo",
        "ssh",
        needs=("git",),
    ),
    _shell(
        "git-push",
        "cd {scratch} && git clone -q {folder}/site/repo.git repo && cd repo && "
        "git config user.name lab && git config user.email lab@lab.example && "
        'git config core.sshCommand "ssh {ssh}" && '
        "git remote set-url origin root@{server}:{folder}/site/repo.git && "
        "for n in 1 2 3; do head -c 300000 /dev/urandom > new$n; git add .; git commit -qm $n; "
        "git push -q origin HEAD:w$$; git fetch -q; done",
        "ssh",
        "git",
        "ssh",
    ),
    benign_script("ftp-session", "ftp-session", "ftp"),
    benign_script("ftp-mistyped", "ftp-mistyped", "ftp"),
    benign("ftp-download", "curl -s -o {scratch}/v ftp://{server}/video.mp4", "files"),
    benign(
        "ftp-mirror",
        'lftp -c "set net:max-retries 1; open {server}; mirror / {scratch}"',
        "files",
    ),
    benign("tftp", "curl -s -m 40 -o {scratch}/f tftp://{gateway}/app.js", "tftp"),
    benign_script("telnet-session", "telnet-session", "telnet"),
    benign_script("telnet-mistyped", "telnet-session", "telnet", more="1"),
    benign_script("send-mail", "send-mail", "smtp"),
    benign_script("newsletter", "deliver-newsletter", "smtp"),
    benign_script("read-mail", "read-mail", "imap"),
    benign_script("read-mail-mistyped", "read-mail", "imap", more="2"),
    benign_script("wait-for-mail", "wait-for-mail", "imap"),
    benign_script("fetch-mail", "fetch-mail", "pop3"),
    benign_script("print", "print-document", "printer"),
    benign_script("print-raw", "print-raw", "print-port"),
    benign(
        "smb-copy",
        'smbclient -U "root%correct horse" //{server}/site '
        '-c "ls; get video.mp4 {scratch}/v; put {folder}/site/picture.jpg up; ls apt/*; rm up"',
        "smb",
    ),
    _shell(
        "smb-mistyped",
        "smbclient -U root%horse //{server}/site -c ls; sleep 2; "
        'smbclient -U "root%correct horse" //{server}/site -c "ls; get app.js {scratch}/a"',
        "smb",
        "smbclient",
    ),
    _shell(
        "ldap",
        'for n in $(seq {count}); do ldapsearch -x -H ldap://{server} -b dc=lab "(cn=p$n)" mail; '
        "done",
        "ldap",
        "ldapsearch",
    ),
    _shell(
        "redis",
        "(for n in $(seq 200); do echo SET k$n $n$n$n; echo GET k$n; done) | "
        'redis-cli -h {server} -a "correct horse"',
        "redis",
        "redis-cli",
    ),
    benign(
        "redis-busy",
        'redis-benchmark -h {server} -a "correct horse" -n 1000 -c 5 -q -t set,get',
        "redis",
    ),
    _shell(
        "database",
        _MARIADB + " < {folder}/statements.sql",
        "mariadb",
        "mariadb",
    ),
    _shell(
        "database-short",
        "for n in $(seq {count}); do " + _MARIADB + " -e status; sleep {pause}; done",
        "mariadb",
        "mariadb",
    ),
    _shell(
        "database-mistyped",
        "mariadb -h {server} -u operator -phorse; sleep 2; " + _MARIADB + ' -e "show tables"',
        "mariadb",
        "mariadb",
    ),
)
