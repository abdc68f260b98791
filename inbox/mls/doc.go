// Package mls reads the framing of MLS messages (RFC 9420 §6) and judges key packages
// (§10.1). It accepts exactly one spelling of every message: lengths in their shortest form,
// enumerations within their registry, nothing after the end. What it accepts it can write
// again, byte for byte.
//
// It never decrypts, holds no keys and proves nothing about a group: group id, epoch and
// content type are what the sender wrote.
//
// Everything Parse returns borrows from its input; who keeps it longer copies it. Lists are
// decoded while they are ranged over, so a message costs little memory beyond its own bytes.
// Values are read-only after Parse and may be shared between goroutines.
package mls
