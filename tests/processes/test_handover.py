from __future__ import annotations

import os

from lb.config import load
from lb.processes.handover import config_file, read_config


def test_children_read_the_very_same_config_again_and_again() -> None:
    token = "a-token-of-sixteen-or-more"
    config = load(None, {"LB_ADMIN_TOKEN": token}, {"servers": ("http://a:1", "http://b:2"), "port": ":0"})
    with config_file(config) as fd:
        assert [read_config(fd), read_config(fd)] == [config, config]
        assert config.admin.token == token


def test_the_file_has_no_name_and_is_not_inherited_by_accident() -> None:
    with config_file(load(None, {}, {})) as fd:
        assert os.fstat(fd).st_nlink == 0
        assert not os.get_inheritable(fd)
