// Package powercut is a file system for tests of what a power cut leaves: one directory of files, in memory,
// mounted through FUSE. It remembers of every file what was synced, and of the directory which names were; Cut copies
// that to a real directory. As on ext4, XFS and btrfs a file's sync makes the name durable under which it was made;
// renaming and removing are durable when the directory is synced.
//
// Whoever uses the mounted directory through memory maps must be another process than the one that serves it: a
// goroutine that faults cannot be stopped, and the garbage collector would wait for it.
package powercut

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

const page = 4096

// Disk is the mounted directory. Its methods may be called concurrently.
type Disk struct {
	fs.Inode
	server *fuse.Server

	mu      sync.Mutex
	names   map[string]*file
	durable map[string]*file // the names as they were at the directory's last sync
	syncs   int
}

// Mount mounts an empty Disk on dir. It needs root and /dev/fuse.
func Mount(dir string) (*Disk, error) {
	d := &Disk{names: map[string]*file{}, durable: map[string]*file{}}
	o := &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "powercut", MaxWrite: 1 << 20}}
	server, err := fs.Mount(dir, d, o)
	if err != nil {
		return nil, fmt.Errorf("mount a FUSE file system: %w", err)
	}
	d.server = server
	return d, nil
}

// Unmount ends the Disk. Nobody may use it any more.
func (d *Disk) Unmount() error { return d.server.Unmount() }

// Syncs counts the syncs of files so far.
func (d *Disk) Syncs() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.syncs
}

// Cut writes to the directory at path what a power cut would leave now. Of what is not synced each page is lost
// or not, as chance has it; without rng all of it is lost.
func (d *Disk) Cut(path string, rng *rand.Rand) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for name, f := range d.durable {
		errs = append(errs, os.WriteFile(filepath.Join(path, name), f.after(rng), 0o600))
	}
	return errors.Join(errs...)
}

// file has its bytes as they are read, and as they were synced. dirty are the pages in which the two differ.
type file struct {
	fs.Inode
	disk        *Disk
	now, synced []byte
	dirty       map[int]bool
}

// after is what is left of f.
func (f *file) after(rng *rand.Rand) []byte {
	out := append([]byte(nil), f.synced...)
	if rng == nil {
		return out
	}
	if len(f.now) > len(out) && rng.IntN(2) == 0 {
		out = append(out, make([]byte, len(f.now)-len(out))...)
	}
	for p := range f.dirty {
		if at := p * page; at < min(len(out), len(f.now)) && rng.IntN(2) == 0 {
			copy(out[at:], f.now[at:min(at+page, len(f.now))])
		}
	}
	return out
}

func (f *file) sync() {
	f.synced = resized(f.synced, len(f.now))
	for p := range f.dirty {
		if at := p * page; at < len(f.now) {
			copy(f.synced[at:], f.now[at:min(at+page, len(f.now))])
		}
	}
	clear(f.dirty)
}

func resized(b []byte, size int) []byte {
	if size <= len(b) {
		return b[:size:size]
	}
	return append(b, make([]byte, size-len(b))...)
}

// touch marks the pages of a span.
func (f *file) touch(from, to int) {
	for p := from / page; p*page < to; p++ {
		f.dirty[p] = true
	}
}

// Fsync of the directory makes its names durable.
func (d *Disk) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.durable = maps.Clone(d.names)
	return 0
}

// Create implements fs.NodeCreater.
func (d *Disk) Create(ctx context.Context, name string, _, _ uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := &file{disk: d, dirty: map[int]bool{}}
	d.names[name] = f
	child := d.NewPersistentInode(ctx, f, fs.StableAttr{Mode: fuse.S_IFREG})
	d.AddChild(name, child, true)
	out.Mode, out.Nlink = fuse.S_IFREG|0o600, 1
	return child, nil, 0, 0
}

// Link implements fs.NodeLinker.
func (d *Disk) Link(_ context.Context, target fs.InodeEmbedder, name string, _ *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, ok := target.(*file)
	if !ok {
		return nil, syscall.EXDEV
	}
	d.names[name] = f
	return &f.Inode, 0
}

// Unlink implements fs.NodeUnlinker.
func (d *Disk) Unlink(_ context.Context, name string) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.names, name)
	return 0
}

// Rename implements fs.NodeRenamer.
func (d *Disk) Rename(_ context.Context, name string, _ fs.InodeEmbedder, newName string, _ uint32) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names[newName] = d.names[name]
	delete(d.names, name)
	return 0
}

// Statfs implements fs.NodeStatfser: there is always room.
func (d *Disk) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	out.Bsize, out.Frsize = page, page
	out.Blocks, out.Bfree, out.Bavail = 1<<30, 1<<30, 1<<30
	return 0
}

// Open implements fs.NodeOpener.
func (f *file) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, 0, 0
}

// Getattr implements fs.NodeGetattrer.
func (f *file) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	out.Mode, out.Nlink, out.Size = fuse.S_IFREG|0o600, 1, uint64(len(f.now))
	out.Blocks = (out.Size + 511) / 512
	return 0
}

// Setattr implements fs.NodeSetattrer: the size.
func (f *file) Setattr(ctx context.Context, h fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		f.disk.mu.Lock()
		f.touch(min(int(size), len(f.now)), max(int(size), len(f.now)))
		f.now = resized(f.now, int(size))
		f.disk.mu.Unlock()
	}
	return f.Getattr(ctx, h, out)
}

// Read implements fs.NodeReader.
func (f *file) Read(_ context.Context, _ fs.FileHandle, into []byte, at int64) (fuse.ReadResult, syscall.Errno) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	n := 0
	if at < int64(len(f.now)) {
		n = copy(into, f.now[at:])
	}
	return fuse.ReadResultData(into[:n]), 0
}

// Write implements fs.NodeWriter.
func (f *file) Write(_ context.Context, _ fs.FileHandle, data []byte, at int64) (uint32, syscall.Errno) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	end := int(at) + len(data)
	if end > len(f.now) {
		f.now = resized(f.now, end)
	}
	copy(f.now[at:], data)
	f.touch(int(at), end)
	return uint32(len(data)), 0
}

// Fsync implements fs.NodeFsyncer.
func (f *file) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.sync()
	f.disk.syncs++
	for name, one := range f.disk.names {
		if one == f {
			f.disk.durable[name] = f
		}
	}
	return 0
}
