package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/policy/signature"
)

// sample signs n activities from one person to another.
func sample(t *testing.T, host string, n int) (*instance.Person, [][]byte) {
	t.Helper()
	i := instance.New(instance.Options{Origin: "http://" + host})
	from, err := i.AddPerson("from")
	if err != nil {
		t.Fatal(err)
	}
	to, err := i.AddPerson("to")
	if err != nil {
		t.Fatal(err)
	}
	requests, err := (&scene{sender: from, people: []*instance.Person{to}, host: host}).sign(t.Context(), privateMessage(usual, 1), n)
	if err != nil {
		t.Fatal(err)
	}
	return from, requests
}

func TestRequestsAreSigned(t *testing.T) {
	from, requests := sample(t, "social.example", 2)
	if bytes.Equal(requests[0], requests[1]) {
		t.Error("both requests are one activity")
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(requests[0])))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if len(body) < messageBytes {
		t.Errorf("the body has %d bytes, want the message and more", len(body))
	}
	s, err := signature.Parse(signature.FromHTTP(r, body), signature.Rules{Domain: "social.example", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(&from.Key.PublicKey); err != nil {
		t.Error(err)
	}
}

func TestDriveSendsEachOnce(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.Header.Get("Signature")]++
		mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	_, requests := sample(t, address, 20)
	r, err := drive(t.Context(), address, 4, requests, http.StatusAccepted)
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != len(requests) {
		t.Errorf("%d of %d requests arrived", len(seen), len(requests))
	}
	if r.PerSecond <= 0 || r.P50 <= 0 || r.P99 < r.P50 {
		t.Errorf("measured %+v", r)
	}
	if _, err := drive(t.Context(), address, 4, requests, http.StatusOK); !errors.Is(err, errStatus) {
		t.Errorf("a wrong status gives %v", err)
	}
}
