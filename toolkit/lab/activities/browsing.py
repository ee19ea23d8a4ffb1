"""Web traffic of people and of programs."""

from __future__ import annotations

from idskit.lab.activity import benign, benign_script

_CHROMIUM = (
    "chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run "
    "--disable-background-networking --disable-component-update --ignore-certificate-errors "
    '--user-data-dir={scratch} --host-resolver-rules="MAP * {server}"'
)
_APT = (
    "-o Dir={scratch} -o Dir::Etc::sourceparts=- -o Dir::State::status={scratch}/status "
    "-o APT::Sandbox::User=root -o Acquire::AllowInsecureRepositories=1"
)


BROWSING = (
    benign_script("browse", "browse", "web"),
    benign_script("browse-tls", "browse", "web", more="443"),
    benign("chromium-page", _CHROMIUM + " --dump-dom http://news.example/page0.html", "web"),
    benign("chromium-tour", _CHROMIUM + " http://news.example/page1.html", "web", seconds=25),
    benign("chromium-tls", _CHROMIUM + " https://shop.example/page2.html", "web", seconds=25),
    benign(
        "wget-site",
        "wget -q -r -l 2 -P {scratch} --wait 0.1 --random-wait http://{server}/album.html",
        "web",
    ),
    benign(
        "curl-parallel",
        "curl -s -Z --parallel-max 6 -o /dev/null http://{server}/p[0-7]-[0-9].jpg",
        "web",
    ),
    benign(
        "wget-ipv6",
        "wget -q -r -l 2 -P {scratch} --wait 0.1 --random-wait http://[fd77::1]/album.html",
        "web",
    ),
    benign("video-ipv6", "curl -sk -o /dev/null https://[fd77::1]/video.mp4", "web"),
    benign("video", "curl -s -o /dev/null http://{server}/video.mp4", "web"),
    benign("video-tls", "curl -sk -o /dev/null https://{server}/video.mp4", "web"),
    benign(
        "download-slow", "curl -s --limit-rate 300k -o /dev/null http://{server}/video.mp4", "web"
    ),
    benign(
        "download-parts",
        "aria2c -q -x 4 -s 4 -k 1M -d {scratch} --check-certificate=false "
        "https://{server}/video.mp4",
        "web",
    ),
    benign(
        "download-large",
        "curl -sk -o /dev/null https://{server}:8443/blob/x?n=25000000",
        "service-tls",
    ),
    benign(
        "apt",
        "sh -c 'cd {scratch} && mkdir -p etc/apt var/lib/apt/lists/partial "
        "var/cache/apt/archives/partial && touch status && "
        'echo "deb [trusted=yes] http://{server}/apt ./" > etc/apt/sources.list && '
        f"apt-get -q {_APT} update; "
        f"apt-get -q {_APT} download lab0 lab1 lab2 lab3 lab5 lab8'",
        "web",
        needs=("apt-get",),
    ),
    benign_script("install-packages", "install-packages", "service-tls"),
    benign_script("pull-image", "pull-image", "service-tls"),
    benign_script("pull-image-plain", "pull-image", "service", more="8081"),
    benign_script("stream-video", "stream-video", "service"),
    benign_script("stream-video-tls", "stream-video", "service-tls", more="8443"),
    benign("radio", "curl -s -o /dev/null http://{server}:8081/radio?n=20", "service"),
    benign_script("call-service", "call-service", "service"),
    benign_script("call-service-tls", "call-service", "service-tls", more="8443"),
    benign_script("short-requests", "short-requests", "service"),
    benign_script("short-requests-tls", "short-requests", "service-tls", more="8443"),
    benign(
        "check-for-updates",
        "sh -c 'for n in $(seq 14); do curl -sk -o /dev/null https://{server}:8443/update?n=9; "
        "sleep 12; done'",
        "service-tls",
        needs=("curl",),
        seconds=200,
    ),
    benign(
        "report-weather",
        "sh -c 'for n in $(seq 16); do curl -s -o /dev/null -d t=2$n http://{server}:8081/api/t; "
        "sleep 10; done'",
        "service",
        needs=("curl",),
        seconds=200,
    ),
    benign_script("poll-long", "poll-long", "service", most=14, least=5),
    benign_script("upload", "upload", "service"),
    benign_script("upload-tls", "upload", "service-tls", more="8443"),
    benign_script("chat", "chat", "service"),
    benign_script("shopping", "shopping", "shop"),
    benign_script("log-in-mistyped", "log-in", "shop", least=1, most=3),
    benign(
        "log-in-basic-mistyped",
        'sh -c \'for w in horse hrose; do curl -s -u "operator:$w" http://{server}:8080/admin; '
        'sleep {pause}; done; curl -s -u "operator:correct horse" http://{server}:8080/admin\'',
        "shop",
        needs=("curl",),
    ),
    benign(
        "load-test",
        "ab -q -n 200 -c 3 http://{server}/style0.css",
        "web",
    ),
)
