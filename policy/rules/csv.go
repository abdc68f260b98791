package rules

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// addCSV reads a domain-block list as Mastodon exports it: a header with #domain
// and #severity, whose rows count when their severity is one of want, or one
// domain a line without a header, which all count. What another server has
// obfuscated (ex***le.com) is skipped: it names nobody.
func (d *domains) addCSV(text []byte, want []string) error {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	rows := csv.NewReader(bytes.NewReader(text))
	rows.FieldsPerRecord, rows.ReuseRecord, rows.TrimLeadingSpace = -1, true, true
	domain, severity := 0, -1
	for first := true; ; first = false {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("is no CSV: %w", err)
		}
		if first && isHeader(row) {
			if domain, severity = column(row, "domain"), column(row, "severity"); domain < 0 {
				return errors.New("has no column #domain")
			}
			continue
		}
		if domain < len(row) && counts(row, severity, want) {
			d.add(row[domain])
		}
		if d.isLong() {
			return errLong
		}
	}
}

// isHeader tells names of columns from a domain.
func isHeader(row []string) bool { return column(row, "domain") >= 0 || column(row, "severity") >= 0 }

func column(header []string, name string) int {
	return slices.IndexFunc(header, func(cell string) bool {
		return strings.EqualFold(strings.TrimPrefix(strings.TrimSpace(cell), "#"), name)
	})
}

func counts(row []string, severity int, want []string) bool {
	return severity < 0 || severity < len(row) && slices.Contains(want, strings.ToLower(strings.TrimSpace(row[severity])))
}
