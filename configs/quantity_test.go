package configs_test

import (
	"encoding"
	"encoding/json"
	"testing"
	"time"

	"github.com/sealgate/sealgate/configs"
)

func TestSize(t *testing.T) {
	f := func(text string, want configs.Size, printed string) {
		t.Helper()
		var got configs.Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want || got.String() != printed {
			t.Errorf("%q: %d %q, %v; want %d %q", text, got, got, err, want, printed)
		}
	}
	f("0", 0, "0B")
	f("1", 1, "1B")
	f("1024", 1<<10, "1KiB")
	f("1536KiB", 1536<<10, "1536KiB")
	f("128MiB", 128<<20, "128MiB")
	f("3GiB", 3<<30, "3GiB")
	f("8388607TiB", 8388607<<40, "8388607TiB")
	refuse(t, new(configs.Size), "", "MiB", "-1", "+1", "1.5MiB", "1MB", "1mib", "1 MiB", "0x10", "8388608TiB", "99999999999999999999", "1_0")
}

func TestDuration(t *testing.T) {
	f := func(text string, want time.Duration, printed string) {
		t.Helper()
		var got configs.Duration
		if err := got.UnmarshalText([]byte(text)); err != nil || time.Duration(got) != want || got.String() != printed {
			t.Errorf("%q: %d %q, %v; want %d %q", text, got, got, err, want, printed)
		}
	}
	f("0s", 0, "0s")
	f("10s", 10*time.Second, "10s")
	f("60s", time.Minute, "1m")
	f("30d", 720*time.Hour, "30d")
	f("400d", 9600*time.Hour, "400d")
	f("1d12h", 36*time.Hour, "36h")
	f("1500ms", 1500*time.Millisecond, "1500ms")
	refuse(t, new(configs.Duration), "", "10", "s", "-1s", "1.5h", "1w", "1 d", "106752d", "100000d100000d", "1d-1h", "d1")
}

func TestRate(t *testing.T) {
	f := func(text string, want configs.Rate, printed string) {
		t.Helper()
		var got configs.Rate
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want || got.String() != printed {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	f("10/min", configs.Rate{Max: 10, Every: time.Minute}, "10/min")
	f("10/m", configs.Rate{Max: 10, Every: time.Minute}, "10/min")
	f("1/s", configs.Rate{Max: 1, Every: time.Second}, "1/s")
	f("5/hour", configs.Rate{Max: 5, Every: time.Hour}, "5/h")
	f("100/d", configs.Rate{Max: 100, Every: 24 * time.Hour}, "100/d")
	refuse(t, new(configs.Rate), "", "10", "/min", "0/min", "-1/min", "10/fortnight", "10/min/min", "1.5/s", "3000000000/s")
}

// refuse wants an error for every text, and the value as it was.
func refuse(t *testing.T, v encoding.TextUnmarshaler, texts ...string) {
	t.Helper()
	before, _ := json.Marshal(v)
	for _, text := range texts {
		if err := v.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %v", text, v)
		}
		if after, _ := json.Marshal(v); string(after) != string(before) {
			t.Errorf("%q changed the value to %s", text, after)
		}
	}
}
