from __future__ import annotations

import pytest

from lb.config import ListenAddress, load, settings
from lb.config.environment import value_of, warnings

VARIABLES = [setting.variable for setting in settings()]

#: What a pod gets for Services called "lb" and "lb-admin".
SERVICES = {
    "LB_SERVICE_HOST": "10.0.0.1",
    "LB_SERVICE_PORT": "80",
    "LB_SERVICE_PORT_HTTP": "80",
    "LB_PORT_80_TCP": "tcp://10.0.0.1:80",
    "LB_PORT_80_TCP_PROTO": "tcp",
    "LB_PORT_80_TCP_PORT": "80",
    "LB_PORT_80_TCP_ADDR": "10.0.0.1",
    "LB_ADMIN_SERVICE_HOST": "10.0.0.2",
    "LB_ADMIN_PORT": "tcp://[fd00::2]:9000",
    "LB_ADMIN_PORT_9000_TCP": "tcp://10.0.0.2:9000",
}


def test_settings_and_what_is_not_ours_are_no_news():
    environ = dict.fromkeys(VARIABLES, "1")
    assert (
        warnings({**environ, "LB_CONFIG": "x", "HOME": "/", "LBX": "", "_LB_ADMIN_COMPLETE": ""}, VARIABLES)
        == []
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("LB_WORKER", "; did you mean LB_WORKERS?"),
        ("LB_MAXRETRIES", "; did you mean LB_MAX_RETRIES?"),
        ("LB_TIMEOUT_CONNECT", "; did you mean LB_TIMEOUTS_CONNECT?"),
        ("LB_CONFIGURATION", "; did you mean LB_CONFIG?"),
        ("LB_ACCESS_LOG_PATH", "; did you mean LB_ACCESS_LOG?"),
        ("LB_LB_ALGO", "; did you mean LB_STRATEGY?"),
        ("LB_XYZZY", "; `lb config --reference` lists all settings"),
    ],
)
def test_unknown_variable_is_told_with_the_nearest_known_one(name, hint):
    said = [f"environment {name}: there is no such setting, so it has no effect{hint}"]
    assert warnings({name: "4", "LB_PORT": ":80"}, VARIABLES) == said


def test_what_kubernetes_tells_of_services_is_not_taken_for_mistakes():
    assert warnings(SERVICES, VARIABLES) == []


def test_a_services_address_in_place_of_a_setting_is_explained():
    [said] = warnings({**SERVICES, "LB_PORT": "tcp://10.0.0.1:80"}, VARIABLES)
    assert said == (
        'environment LB_PORT: "tcp://10.0.0.1:80" is ignored, as Kubernetes sets it for a Service '
        "called lb; enableServiceLinks: false in the pod's spec prevents that"
    )


def test_a_services_address_is_not_the_port(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load(None, {"LB_PORT": "tcp://10.0.0.1:80"}, {}).port == ListenAddress("", 8080)
    assert load(None, {"LB_PORT": "10.0.0.1:80"}, {}).port == ListenAddress("10.0.0.1", 80)


def test_only_variables_that_end_in_port_can_be_a_services():
    assert value_of({"LB_REDIS": "tcp://10.0.0.1:80"}, "LB_REDIS") == "tcp://10.0.0.1:80"
