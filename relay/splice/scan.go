package splice

// The scanners read what json.Valid accepted: they look for ends, not for mistakes.

func skipBlank(doc []byte, i int) int {
	for i < len(doc) && (doc[i] == ' ' || doc[i] == '\t' || doc[i] == '\r' || doc[i] == '\n') {
		i++
	}
	return i
}

// skipValue gives the end of the JSON value that starts at i.
func skipValue(doc []byte, i int) int {
	depth := 0
	for i < len(doc) {
		switch doc[i] {
		case '"':
			i = skipString(doc, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\t', '\r', '\n':
			i++
		default:
			i = skipScalar(doc, i)
		}
		if depth == 0 {
			return i
		}
	}
	return i
}

func skipString(doc []byte, i int) int {
	for i++; i < len(doc) && doc[i] != '"'; i++ {
		if doc[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func skipScalar(doc []byte, i int) int {
	for ; i < len(doc); i++ {
		switch doc[i] {
		case ',', ':', '}', ']', ' ', '\t', '\r', '\n':
			return i
		}
	}
	return i
}

// values are those at in: itself, or the elements of an array, and so on through nested arrays.
func values(doc []byte, in Span) (list []Span) {
	for i := in.From; i < in.To; {
		switch doc[i] {
		case '[', ']', ',', ' ', '\t', '\r', '\n':
			i++
		default:
			end := skipValue(doc, i)
			list = append(list, Span{i, end})
			i = end
		}
	}
	return list
}
