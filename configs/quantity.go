package configs

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

var (
	errSize     = errors.New("is no size: write a whole number with B, KiB, MiB, GiB or TiB")
	errDuration = errors.New("is no duration: write whole numbers with d, h, m, s or ms")
	errRate     = errors.New("is no rate: write a whole number per s, min, h or d")
	errTooLarge = errors.New("is too large")
)

// Size is a number of bytes, written 128MiB. Units are powers of 1024; MB is refused as ambiguous.
type Size int64

// sizeUnits go from large to small, so that the first that divides is the one to print.
var sizeUnits = [...]struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// String returns s in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return "0B"
}

// MarshalText is String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a whole number with a unit; without one it counts bytes.
func (s *Size) UnmarshalText(b []byte) error {
	digits, unit := splitNumber(string(b))
	if unit == "" {
		unit = "B"
	}
	for _, u := range sizeUnits {
		if u.name != unit {
			continue
		}
		n, err := parseNumber(digits, u.bytes)
		if err != nil {
			return fallback(err, errSize)
		}
		*s = Size(n)
		return nil
	}
	return errSize
}

// Duration is a time.Duration that also knows days: 30d, 1d12h, 10s.
type Duration time.Duration

var durationUnits = [...]struct {
	name string
	size time.Duration
}{{"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}, {"us", time.Microsecond}, {"ns", 1}}

// String returns d in the largest unit that divides it.
func (d Duration) String() string {
	for _, u := range durationUnits {
		if d != 0 && time.Duration(d)%u.size == 0 {
			return strconv.FormatInt(int64(time.Duration(d)/u.size), 10) + u.name
		}
	}
	return "0s"
}

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads one or more whole numbers, each with a unit.
func (d *Duration) UnmarshalText(b []byte) error {
	var sum int64
	rest := string(b)
	if rest == "" {
		return errDuration
	}
	for rest != "" {
		var digits, unit string
		digits, rest = splitNumber(rest)
		end := strings.IndexAny(rest, "0123456789")
		if end < 0 {
			end = len(rest)
		}
		unit, rest = rest[:end], rest[end:]
		n, err := parseDurationPart(digits, unit)
		if err != nil {
			return fallback(err, errDuration)
		}
		if n > math.MaxInt64-sum {
			return errTooLarge
		}
		sum += n
	}
	*d = Duration(sum)
	return nil
}

func parseDurationPart(digits, unit string) (int64, error) {
	for _, u := range durationUnits {
		if u.name == unit {
			return parseNumber(digits, int64(u.size))
		}
	}
	return 0, errDuration
}

// Rate is Max events in Every, written 10/min.
type Rate struct {
	Max   int
	Every time.Duration
}

var rateUnits = [...]struct {
	name  string
	every time.Duration
}{{"s", time.Second}, {"min", time.Minute}, {"h", time.Hour}, {"d", day}, {"sec", time.Second}, {"m", time.Minute}, {"hour", time.Hour}, {"day", day}}

// String returns r as 10/min.
func (r Rate) String() string {
	for _, u := range rateUnits {
		if u.every == r.Every {
			return strconv.Itoa(r.Max) + "/" + u.name
		}
	}
	return fmt.Sprintf("%d/%v", r.Max, r.Every)
}

// MarshalText is String.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a whole number above zero, a slash and a unit.
func (r *Rate) UnmarshalText(b []byte) error {
	digits, unit, _ := strings.Cut(string(b), "/")
	for _, u := range rateUnits {
		if u.name != unit {
			continue
		}
		n, err := parseNumber(digits, 1)
		if err != nil || n == 0 || n > math.MaxInt32 {
			return errRate
		}
		*r = Rate{Max: int(n), Every: u.every}
		return nil
	}
	return errRate
}

// splitNumber splits s after its leading digits.
func splitNumber(s string) (digits, rest string) {
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	return s[:end], s[end:]
}

// parseNumber multiplies a plain decimal number by unit. It reports errTooLarge, or that digits is none.
func parseNumber(digits string, unit int64) (int64, error) {
	if rest := strings.Trim(digits, "0123456789"); rest != "" || digits == "" {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return 0, errTooLarge
	}
	return n * unit, nil
}

// fallback keeps errTooLarge and says want for every other error.
func fallback(err, want error) error {
	if errors.Is(err, errTooLarge) {
		return err
	}
	return want
}
