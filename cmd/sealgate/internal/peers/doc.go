// Package peers holds the end-to-end stories of cmd/sealgate with software of other people:
// snac2 as the instance behind the gateway, Fedify and activitypub-bot as its peers, ts-mls and
// OpenMLS as the clients. It has tests only. They build the gateway and run all of it on
// loopback; .ci/peers.sh installs what they need, and the scripts that drive the npm packages
// are in cmd/sealgate/testdata/peers. With -short they are left out.
package peers
