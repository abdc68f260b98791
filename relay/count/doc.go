// Package count has what the parts of the public listener count together: connections and requests by client, and
// metrics that several of them share.
package count
