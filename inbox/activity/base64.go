package activity

import (
	"encoding/base64"
	"errors"
	"strings"
)

var (
	errBase64  = errors.New("it is not base64")
	errNoBytes = errors.New("it is empty")
)

// spelling turns the URL-safe alphabet into the standard one and drops white space.
var spelling = strings.NewReplacer("-", "+", "_", "/", " ", "", "\t", "", "\n", "", "\r", "")

// decodeBase64 reads base64 padded or not, standard or URL-safe, with white space anywhere (RFC 4648 §4,
// §5). Padding, if there is any, is complete; bits left over are zero.
func decodeBase64(s string) ([]byte, error) {
	s = spelling.Replace(s)
	encoding := base64.RawStdEncoding
	if strings.HasSuffix(s, "=") {
		encoding = base64.StdEncoding
	}
	b, err := encoding.Strict().DecodeString(s)
	if err != nil {
		return nil, errBase64
	}
	if len(b) == 0 {
		return nil, errNoBytes
	}
	return b, nil
}
