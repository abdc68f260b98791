package storage

import (
	"crypto/aes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
)

// A crash leaves tables that the manifest does not name: one that a compaction was writing has nothing that the tables it was made of
// have not, and they go after the manifest has it durably; one made of a full memtable has what is in the memtable's log, which
// goes after the manifest has the table durably. What is in the log was synced before, for only then it is full. So a table with a transaction later
// than those of all named tables, and in no log, is one that the manifest had and has lost.

// unlistedTables gives the tables that are there and the manifest does not name, by their files.
func unlistedTables(dir string, listed map[uint64]badger.TableManifest) (names []string, err error) {
	all, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	for _, name := range all {
		id, ok := table.ParseFileID(name)
		if _, named := listed[id]; ok && !named {
			names = append(names, name)
		}
	}
	return names, err
}

// noneCutOff refuses a manifest that has lost one of the other tables.
func (r *tableReader) noneCutOff(listed map[uint64]badger.TableManifest, others []string) (err error) {
	if len(others) == 0 {
		return nil
	}
	named := uint64(0)
	for id := range listed {
		last, _ := lastIn(table.NewFilename(id, r.dir), r.keys)
		named = max(named, last)
	}
	var logged map[uint64]bool
	for _, name := range others {
		last, ok := lastIn(name, r.keys)
		if !ok || last <= named {
			continue // it was being written
		}
		if logged == nil {
			if logged, err = loggedIn(r.dir, r.keys); err != nil {
				return fmt.Errorf("look at the store (storage.path): %w", err)
			}
		}
		if !logged[last] {
			return damaged(r.dir, badger.ManifestFilename+" was cut: it lacks "+filepath.Base(name))
		}
	}
	return nil
}

// lastIn is the timestamp of a table's last transaction, if the table is whole. The manifest alone would know with which of the
// engine's keys.
func lastIn(name string, keys *badger.KeyRegistry) (last uint64, ok bool) {
	index, err := readIndex(name)
	if err != nil {
		return 0, false
	}
	for id := uint64(0); !ok; id++ {
		key, err := keys.DataKey(id)
		if err != nil {
			return 0, false
		}
		last, ok = index.last(key)
	}
	return last, ok
}

// last is not ok with another key, which makes no index in which the blocks end where the index begins.
func (i tableIndex) last(key *pb.DataKey) (last uint64, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false // the index is followed wherever it leads
		}
	}()
	index, err := i.decrypt(key)
	if err != nil {
		return 0, false
	}
	block := new(fb.BlockOffset)
	ok = index.Offsets(block, index.OffsetsLength()-1) && int64(block.Offset())+int64(block.Len()) == i.at
	return index.MaxVersion(), ok
}

// decrypt gives the index, which leads anywhere with another key or where it is damaged.
func (i tableIndex) decrypt(key *pb.DataKey) (*fb.TableIndex, error) {
	plain := i.bytes
	if key != nil {
		cut := len(plain) - aes.BlockSize
		var err error
		if plain, err = y.XORBlockAllocate(plain[:cut], key.Data, plain[cut:]); err != nil {
			return nil, err
		}
	}
	return fb.GetRootAsTableIndex(plain, 0), nil
}

// loggedIn gives the timestamps of what the write-ahead logs have, each up to what was not written whole.
func loggedIn(dir string, keys *badger.KeyRegistry) (map[uint64]bool, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*"+logSuffix))
	if err != nil {
		return nil, err
	}
	all := map[uint64]bool{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		readLog(data, keys, all)
	}
	return all, nil
}

// readLog reads key id [8] | iv [12], then rows: meta [2], lengths of key and value, expiry | key and value, encrypted | crc [4]. A key ends
// with its timestamp.
func readLog(data []byte, keys *badger.KeyRegistry, into map[uint64]bool) {
	const head = 8 + 12
	if len(data) < head {
		return
	}
	key, err := keys.DataKey(binary.BigEndian.Uint64(data))
	if err != nil {
		return
	}
	iv := append(data[8:head:head], 0, 0, 0, 0)
	for at := head; at+2 < len(data); {
		d := decoder{rest: data[at+2:]}
		name, value := d.uint(), d.uint()
		d.uint()
		if d.err != nil || name > uint64(len(d.rest)) || value > uint64(len(d.rest))-name || uint64(len(d.rest))-name-value < crc32.Size {
			return
		}
		end := len(data) - len(d.rest) + int(name+value)
		if crc32.Checksum(data[at:end], y.CastagnoliCrcTable) != binary.BigEndian.Uint32(data[end:]) {
			return
		}
		k := d.rest[:name]
		if key != nil {
			binary.BigEndian.PutUint32(iv[12:], uint32(at))
			if k, err = y.XORBlockAllocate(k, key.Data, iv); err != nil {
				return
			}
		}
		into[y.ParseTs(k)] = true
		at = end + crc32.Size
	}
}
