// Package simulation runs gateways, their people and the network between them in one event loop, from a seed.
//
// The gateways are the program's own packages, wired as cmd does, over the in-memory stores of the contract suites;
// clock (testing/synctest), network and randomness are the simulation's. What happens next is drawn from the seed:
// messages, invitations, claims, lost requests and lost answers, replays, partitions, kills, months passing. After
// every step what is readable is held against a model, and the same seed gives the same trace, byte for byte.
// It knows nothing of Badger and of sockets; those have tests of their own.
package simulation
