"""An order from the clone to the destruction, by proxmoxer over TLS.

Arguments: host:port, the file of the authority's certificate, user@realm, token id, secret.
"""

import sys
import time

from proxmoxer import ProxmoxAPI
from proxmoxer.core import ResourceException
from proxmoxer.tools import Tasks

host, authority, user, token_name, secret = sys.argv[1:]
api = ProxmoxAPI(host, user=user, token_name=token_name, token_value=secret, verify_ssl=authority, timeout=20)


def done(upid):
    status = Tasks.blocking_status(api, upid, timeout=20, polling_interval=0.05)
    assert status["exitstatus"] == "OK", status


assert api.version.get()["version"] == "9.1.5"
assert sorted(node["node"] for node in api.nodes.get()) == ["pve1", "pve2"]
assert "VM.Clone" in api.access.permissions.get(path="/vms/9000")["/vms/9000"]
assert any(net["iface"] == "vmbr3" for net in api.nodes("pve1").network.get(type="any_bridge"))

node = api.nodes("pve1")
done(node.lxc(9000).clone.post(newid=5100, hostname="by-proxmoxer", pool="zpack", full=0))
container = node.lxc(5100)
container.config.put(memory=768, cores=1, tags="b;a")
config = container.config.get()
assert (config["hostname"], str(config["memory"]), config["tags"]) == ("by-proxmoxer", "768", "a;b"), config
done(container.status.start.post())
assert container.status.current.get()["status"] == "running"
for _ in range(200):
    ours = [one for one in container.interfaces.get() if one["name"] == "eth0" and one.get("inet")]
    if ours:
        break
    time.sleep(0.05)
assert ours, "no address"
# Each node serves the paths of the others.
assert any(str(one["vmid"]) == "9001" for one in api.nodes("pve2").lxc.get())
done(container.status.stop.post())
done(container.delete(purge=1))
try:
    container.config.get()
    raise AssertionError("it is still there")
except ResourceException as error:
    assert "does not exist" in str(error), error

wrong = ProxmoxAPI(host, user=user, token_name=token_name, token_value="wrong", verify_ssl=authority, timeout=20)
try:
    wrong.version.get()
    raise AssertionError("a wrong secret is accepted")
except ResourceException as error:
    assert error.status_code == 401, error
print("proxmoxer: ok")
